#include "trainer/report/ranking.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "trainer/sweep/selection.h"

namespace last {

std::vector<std::vector<NetworkRow>> ranked_settings(const std::vector<NetworkRow>& rows,
                                                     int64_t target) {
  std::vector<const NetworkRow*> own;
  std::vector<Candidate> candidates;
  for (const auto& row : rows) {
    if (row.setting.target != target || row.stage != "search") continue;
    const bool ended_well = row.progress.status == NetworkStatus::kOk;
    own.push_back(&row);
    candidates.push_back(
        {row.setting,
         ended_well ? row.progress.val_accuracy : std::numeric_limits<double>::quiet_NaN(),
         row.progress.val_loss, row.parameters});
  }
  auto ranked = rank_settings(candidates);
  if (std::all_of(candidates.begin(), candidates.end(),
                  [](const Candidate& c) { return std::isnan(c.val_accuracy); })) {
    std::sort(ranked.begin(), ranked.end(),
              [](const Choice& a, const Choice& b) { return a.setting.index < b.setting.index; });
  }
  std::vector<std::vector<NetworkRow>> settings;
  for (const auto& choice : ranked) {
    auto& networks = settings.emplace_back();
    for (const int64_t member : choice.members) {
      networks.push_back(*own[static_cast<size_t>(member)]);
    }
  }
  return settings;
}

}  // namespace last
