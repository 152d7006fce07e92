#pragma once

#include <functional>
#include <string>
#include <vector>

#include "trainer/commands/run_data.h"
#include "trainer/report/network_table.h"
#include "trainer/report/summary.h"
#include "trainer/sweep/selection.h"
#include "trainer/training/bank.h"

namespace last {

// A row per network of the banks, in order of their indices.
std::vector<NetworkRow> network_rows(const std::vector<Bank>& banks, const RunData& data,
                                     const std::string& stage, const std::string& train_data,
                                     int64_t epochs);

// The best setting of each target and method by validation accuracy, in order of target, then
// method. Empty where nothing was validated and there is a choice to make.
struct TargetChoice {
  int64_t target = 0;
  Choice choice;
  std::vector<NetworkRow> rows;  // of the chosen setting, all its seeds
};
std::vector<TargetChoice> choose_per_method(const std::vector<NetworkRow>& rows,
                                            const RunData& data);

// The best of the choices of one target, or nullptr.
const TargetChoice* best_of_target(const std::vector<TargetChoice>& choices, int64_t target);

// Settings that retrain every choice with the given seeds, numbered from `first_index`.
std::vector<Setting> retrain_settings(const std::vector<TargetChoice>& choices,
                                      const std::vector<int64_t>& seeds, int64_t first_index);

// Writes PATH_OF(index) for every network of the banks that did not diverge.
void export_networks(const std::vector<Bank>& banks, const std::vector<NetworkRow>& rows,
                     const RunData& data, const std::function<std::string(int64_t)>& path_of);

}  // namespace last
