#include "trainer/sweep/selection.h"

#include <algorithm>
#include <tuple>

namespace last {

std::optional<Choice> choose_best(const std::vector<Candidate>& candidates) {
  std::vector<Choice> choices;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const auto& setting = candidates[i].setting;
    auto found = std::find_if(choices.begin(), choices.end(), [&](const Choice& choice) {
      return same_but_for_seed(choice.setting, setting);
    });
    if (found == choices.end()) found = choices.insert(choices.end(), Choice{setting, 0, {}});
    if (setting.seed < found->setting.seed) found->setting = setting;
    found->members.push_back(static_cast<int64_t>(i));
  }
  const auto parameters = [&](const Choice& choice) {
    return candidates[static_cast<size_t>(choice.members.front())].parameters;
  };
  std::optional<Choice> best;
  for (auto& choice : choices) {
    for (const int64_t member : choice.members) {
      choice.mean_val_accuracy += candidates[static_cast<size_t>(member)].val_accuracy;
    }
    choice.mean_val_accuracy /= static_cast<double>(choice.members.size());
    const auto rank = [&](const Choice& c) {
      return std::make_tuple(-c.mean_val_accuracy, parameters(c), c.setting.index);
    };
    if (!best || rank(choice) < rank(*best)) best = choice;
  }
  return best;
}

}  // namespace last
