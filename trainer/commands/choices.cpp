#include "trainer/commands/choices.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>

#include "common/error.h"

namespace last {
namespace {

bool ended_well(const NetworkRow& row) { return row.progress.status == NetworkStatus::kOk; }

bool diverged(const NetworkRow& row) { return row.progress.status == NetworkStatus::kDiverged; }

// The rows of one target and method, of settings whose networks are all as asked for.
std::vector<NetworkRow> rows_of(const std::vector<NetworkRow>& rows, int64_t target, Method method,
                                const std::function<bool(const NetworkRow&)>& accepted) {
  std::vector<NetworkRow> found;
  for (const auto& row : rows) {
    if (row.setting.target != target || row.setting.network.method != method) continue;
    const bool whole = std::all_of(rows.begin(), rows.end(), [&](const NetworkRow& other) {
      return accepted(other) || !same_but_for_seed(other.setting, row.setting);
    });
    if (whole) found.push_back(row);
  }
  return found;
}

// Why there is nothing to choose from these candidates; empty where there is.
//   one_setting: of all that was trained. Among several, the only one that has not diverged is not
//   chosen by that.
std::string problem_of(const std::vector<NetworkRow>& candidates, bool one_setting,
                       Selection select) {
  if (candidates.empty()) return "every setting was stopped or has a network that diverged";
  const bool validated =
      std::none_of(candidates.begin(), candidates.end(),
                   [](const NetworkRow& row) { return std::isnan(row.progress.val_accuracy); });
  if (!one_setting && select == Selection::kLast) {
    return "several settings, and no selection (give --val or --val-fraction, without --select "
           "last)";
  }
  if (!validated && !one_setting) {
    return "several settings, and no labelled validation data to compare them on (--val, "
           "--val-fraction)";
  }
  return "";
}

int64_t count_settings(const std::vector<NetworkRow>& rows) {
  int64_t count = 0;
  for (auto row = rows.begin(); row != rows.end(); ++row) {
    count += std::none_of(rows.begin(), row, [&](const NetworkRow& earlier) {
      return same_but_for_seed(earlier.setting, row->setting);
    });
  }
  return count;
}

// `compared`: settings that the choice was made from, those that were stopped included.
TargetChoice choose(const std::vector<NetworkRow>& rows, int64_t target, Selection select,
                    int64_t compared) {
  std::vector<Candidate> candidates;
  for (const auto& row : rows) {
    candidates.push_back(
        {row.setting, row.progress.val_accuracy, row.progress.val_loss, row.parameters});
  }
  TargetChoice chosen{target, *choose_best(candidates), {}, {}, compared, 0};
  if (select == Selection::kLast) {
    chosen.choice.mean_val_accuracy = std::numeric_limits<double>::quiet_NaN();
  }
  for (const int64_t member : chosen.choice.members) {
    chosen.rows.push_back(rows[static_cast<size_t>(member)]);
  }
  chosen.searched = chosen.rows;
  return chosen;
}

}  // namespace

bool TargetChoice::by_val() const { return !std::isnan(choice.mean_val_accuracy); }

std::string TargetChoice::basis() const {
  if (candidates == 1) return "only one";
  return concat("val, of ", candidates);
}

const NetworkRow* TargetChoice::representative() const {
  const NetworkRow* lowest = nullptr;
  for (const auto& row : rows) {
    if (!ended_well(row)) continue;
    if (lowest == nullptr || row.setting.seed < lowest->setting.seed) lowest = &row;
  }
  return lowest;
}

Choices choose_per_method(const std::vector<NetworkRow>& rows,
                          const std::vector<std::string>& targets, Selection select) {
  Choices choices;
  for (size_t t = 0; t < targets.size(); ++t) {
    const auto target = static_cast<int64_t>(t);
    const size_t first = choices.chosen.size();
    int64_t settings = 0;
    for (const Method method : {Method::kLinear, Method::kLast}) {
      const auto trained = rows_of(rows, target, method, [](const NetworkRow&) { return true; });
      if (trained.empty()) continue;
      const auto candidates = rows_of(rows, target, method, ended_well);
      const int64_t compared = count_settings(rows_of(rows, target, method, std::not_fn(diverged)));
      const int64_t all = count_settings(trained);
      settings += all;
      const std::string problem = problem_of(candidates, all == 1, select);
      if (problem.empty()) {
        choices.chosen.push_back(choose(candidates, target, select, compared));
      } else {
        choices.warnings.push_back(concat("target \"", targets[t], "\", method ", to_string(method),
                                          ": nothing is chosen: ", problem));
      }
    }
    for (size_t c = first; c < choices.chosen.size(); ++c) choices.chosen[c].rivals = settings - 1;
  }
  return choices;
}

const TargetChoice* best_of_target(const std::vector<TargetChoice>& choices, int64_t target) {
  const TargetChoice* best = nullptr;
  for (const auto& choice : choices) {
    if (choice.target != target) continue;
    if (best == nullptr || is_better(choice.choice, best->choice)) best = &choice;
  }
  const bool decided = best != nullptr && (best->by_val() || best->rivals == 0);
  return decided ? best : nullptr;
}

std::vector<std::vector<NetworkRow>> all_settings(const std::vector<NetworkRow>& rows) {
  std::vector<std::vector<NetworkRow>> settings;
  for (const auto& row : rows) {
    if (!ended_well(row)) continue;
    const auto found = std::find_if(settings.begin(), settings.end(), [&](const auto& setting) {
      return same_but_for_seed(setting.front().setting, row.setting);
    });
    if (found == settings.end()) {
      settings.push_back({row});
    } else {
      found->push_back(row);
    }
  }
  return settings;
}

std::vector<Setting> retrain_settings(const std::vector<TargetChoice>& choices,
                                      const std::vector<int64_t>& seeds, int64_t first_index) {
  std::vector<Setting> settings;
  for (const auto& choice : choices) {
    for (const int64_t seed : seeds) {
      Setting setting = choice.choice.setting;
      setting.seed = seed;
      setting.index = first_index + static_cast<int64_t>(settings.size());
      settings.push_back(setting);
    }
  }
  return settings;
}

}  // namespace last
