#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/commands/run_options.h"
#include "trainer/report/network_table.h"
#include "trainer/sweep/selection.h"

namespace last {

// The chosen setting of one target and method.
struct TargetChoice {
  int64_t target = 0;
  Choice choice;
  std::vector<NetworkRow> rows;      // its networks, all seeds; after retraining the retrained ones
  std::vector<NetworkRow> searched;  // its networks in the search
  // Settings of this target and method that validation compared: those without a diverged network,
  // itself and those that halving stopped included.
  int64_t candidates = 1;
  int64_t rivals = 0;  // the target's other settings, of all methods, diverged ones included

  bool by_val() const;
  // What the choice rests on, for tables.
  std::string basis() const;

  // The network of the lowest seed among those that ended well; nullptr where none did.
  const NetworkRow* representative() const;
};

struct Choices {
  std::vector<TargetChoice> chosen;   // in order of target, then method
  std::vector<std::string> warnings;  // why a target or method has no choice, one line each
};

// The best setting of each target and method by mean validation accuracy over its seeds. A setting
// with a diverged or stopped seed is not chosen: its mean would be that of the survivors. Without
// selection (kLast) or validation only a single setting is chosen. Test accuracies play no part.
Choices choose_per_method(const std::vector<NetworkRow>& rows,
                          const std::vector<std::string>& targets, Selection select);

// The best of the choices of one target by validation accuracy, with the ties of rank_settings();
// without one, the target's only setting. nullptr where there is neither: one setting of one method
// is not better than several of another that nothing compares it with.
const TargetChoice* best_of_target(const std::vector<TargetChoice>& choices, int64_t target);

// Every setting's networks that ended well, in order of their first one, to be shown where nothing
// is chosen.
std::vector<std::vector<NetworkRow>> all_settings(const std::vector<NetworkRow>& rows);

// Settings that retrain every choice with the given seeds, numbered from `first_index`.
std::vector<Setting> retrain_settings(const std::vector<TargetChoice>& choices,
                                      const std::vector<int64_t>& seeds, int64_t first_index);

}  // namespace last
