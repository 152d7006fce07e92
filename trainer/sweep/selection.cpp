#include "trainer/sweep/selection.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

namespace last {

bool is_better(const Choice& a, const Choice& b) {
  const auto rank = [](const Choice& c) {
    constexpr double kWorst = std::numeric_limits<double>::infinity();
    // What rounding makes of equal means must not decide.
    const auto rounded = [](double value) { return std::round(value * 1e9) / 1e9; };
    return std::make_tuple(std::isnan(c.mean_val_accuracy) ? kWorst : -rounded(c.mean_val_accuracy),
                           std::isnan(c.mean_val_loss) ? kWorst : c.mean_val_loss, c.parameters,
                           c.setting.index);
  };
  return rank(a) < rank(b);
}

std::vector<Choice> rank_settings(const std::vector<Candidate>& candidates) {
  std::vector<Choice> choices;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const auto& setting = candidates[i].setting;
    auto found = std::find_if(choices.begin(), choices.end(), [&](const Choice& choice) {
      return same_but_for_seed(choice.setting, setting);
    });
    if (found == choices.end()) {
      found = choices.insert(choices.end(), Choice{setting, 0, 0, candidates[i].parameters, {}});
    }
    if (setting.seed < found->setting.seed) found->setting = setting;
    found->members.push_back(static_cast<int64_t>(i));
  }
  for (auto& choice : choices) {
    for (const int64_t member : choice.members) {
      choice.mean_val_accuracy += candidates[static_cast<size_t>(member)].val_accuracy;
      choice.mean_val_loss += candidates[static_cast<size_t>(member)].val_loss;
    }
    const auto seeds = static_cast<double>(choice.members.size());
    choice.mean_val_accuracy /= seeds;
    choice.mean_val_loss /= seeds;
  }
  std::sort(choices.begin(), choices.end(), is_better);
  return choices;
}

std::optional<Choice> choose_best(const std::vector<Candidate>& candidates) {
  const auto ranked = rank_settings(candidates);
  return ranked.empty() ? std::nullopt : std::optional(ranked.front());
}

}  // namespace last
