#pragma once

#include <optional>
#include <vector>

#include "trainer/sweep/selection.h"
#include "trainer/training/bank.h"

namespace last {

// What selection may look at of every network of the banks, in their order.
std::vector<Candidate> candidates_of(const std::vector<Bank>& banks,
                                     const std::vector<Target>& targets,
                                     const BackboneInfo& backbone);

// The setting of each target that would be chosen now, by the rule that chooses in the end: a
// setting with a diverged network is none, one with an unmeasured network comes last. Nothing where
// no setting was measured after the last epoch.
std::vector<std::optional<Choice>> best_so_far(const std::vector<Bank>& banks,
                                               const std::vector<Target>& targets,
                                               const BackboneInfo& backbone);

}  // namespace last
