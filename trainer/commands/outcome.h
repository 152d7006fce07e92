#pragma once

#include <functional>
#include <string>
#include <vector>

#include "trainer/commands/run_data.h"
#include "trainer/report/network_table.h"
#include "trainer/training/bank.h"
#include "trainer/training/stopper.h"

namespace last {

// A row per network of the banks, trained for `epochs`, and per network that was stopped before, in
// order of their indices.
std::vector<NetworkRow> network_rows(const std::vector<Bank>& banks,
                                     const std::vector<StoppedNetwork>& stopped,
                                     const RunData& data, const std::string& stage,
                                     const std::string& train_data, int64_t epochs);

// Writes PATH_OF(index) for every network of the banks that did not diverge.
void export_networks(const std::vector<Bank>& banks, const std::vector<NetworkRow>& rows,
                     const RunData& data, const std::function<std::string(int64_t)>& path_of);

}  // namespace last
