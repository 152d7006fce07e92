#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "trainer/sweep/grid.h"

namespace last {

// What selection may look at: never the test split.
struct Candidate {
  Setting setting;
  double val_accuracy = 0;  // percent, at the last epoch
  double val_loss = 0;      // mean cross-entropy then
  int64_t parameters = 0;
};

// One setting with all its seeds.
struct Choice {
  Setting setting;  // of the lowest seed
  double mean_val_accuracy = 0;
  double mean_val_loss = 0;
  int64_t parameters = 0;
  std::vector<int64_t> members;  // indices into the candidates
};

// Whether `a` has the higher mean validation accuracy; ties, which few validation images make
// frequent, go to the lower mean validation loss, then to fewer parameters, then to the lower
// index. What is unmeasured (NaN) comes last.
bool is_better(const Choice& a, const Choice& b);

// Settings with their means over seeds, the best first. A setting with an unmeasured seed is
// unmeasured.
std::vector<Choice> rank_settings(const std::vector<Candidate>& candidates);

// The first of them. Nothing where there is no candidate.
std::optional<Choice> choose_best(const std::vector<Candidate>& candidates);

}  // namespace last
