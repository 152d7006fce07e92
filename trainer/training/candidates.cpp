#include "trainer/training/candidates.h"

#include <algorithm>
#include <cmath>

namespace last {

std::vector<Candidate> candidates_of(const std::vector<Bank>& banks,
                                     const std::vector<Target>& targets,
                                     const BackboneInfo& backbone) {
  std::vector<Candidate> candidates;
  for (const auto& bank : banks) {
    for (size_t k = 0; k < bank.settings().size(); ++k) {
      const auto& setting = bank.settings()[k];
      const int64_t classes = targets[static_cast<size_t>(setting.target)].classes;
      candidates.push_back({setting, bank.progress()[k].val_accuracy, bank.progress()[k].val_loss,
                            count_parameters(setting.network, backbone, classes)});
    }
  }
  return candidates;
}

std::vector<std::optional<Choice>> best_so_far(const std::vector<Bank>& banks,
                                               const std::vector<Target>& targets,
                                               const BackboneInfo& backbone) {
  std::vector<Setting> diverged;
  for (const auto& bank : banks) {
    for (size_t k = 0; k < bank.settings().size(); ++k) {
      if (bank.progress()[k].status == NetworkStatus::kDiverged) {
        diverged.push_back(bank.settings()[k]);
      }
    }
  }
  std::vector<std::vector<Candidate>> whole(targets.size());
  for (const auto& candidate : candidates_of(banks, targets, backbone)) {
    const bool lost = std::any_of(diverged.begin(), diverged.end(), [&](const Setting& setting) {
      return same_but_for_seed(setting, candidate.setting);
    });
    if (!lost) whole[static_cast<size_t>(candidate.setting.target)].push_back(candidate);
  }
  std::vector<std::optional<Choice>> best;
  for (const auto& candidates : whole) {
    best.push_back(choose_best(candidates));
    if (best.back() && std::isnan(best.back()->mean_val_accuracy)) best.back().reset();
  }
  return best;
}

}  // namespace last
