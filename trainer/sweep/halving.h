#pragma once

#include <cstdint>
#include <vector>

#include "trainer/sweep/selection.h"

namespace last {

// Successive halving (Jamieson & Talwalkar, arXiv 1502.07943) with a schedule that does not change:
// whatever goes on is trained as in the full grid.
struct Rung {
  int64_t epoch = 0;  // finished epochs
  double keep = 1;    // part of the settings under way that goes on
};

// The rungs of a training of `epochs` epochs, `warmup_epochs` of them with a rising learning rate,
// ascending and after the warm-up; none where it is too short for any.
std::vector<Rung> halving_rungs(int64_t epochs, int64_t warmup_epochs);

// What training up to `epochs` finished epochs costs (fractions of one included), in epochs of the
// full grid, for many settings.
double halving_work(const std::vector<Rung>& rungs, double epochs);
// Part of the full grid's epochs that is trained with these rungs.
double halving_cost(const std::vector<Rung>& rungs, int64_t epochs);

// Which candidates go on at a rung: of each target and method the best settings by mean validation
// accuracy (ties as in choose_best), rounded up, at least one; all seeds of a setting alike.
// Ascending indices into the candidates.
std::vector<int64_t> going_on(const std::vector<Candidate>& candidates, double keep);

}  // namespace last
