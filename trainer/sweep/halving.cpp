#include "trainer/sweep/halving.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

namespace last {
namespace {

// Chosen on full grids of two tasks (24 networks, 12 epochs, several splits). There it mattered
// little how much is kept, and when, but for one thing: at the end of the warm-up high learning
// rates lie far behind, and a rung there cost up to 9 points on test.
struct RelativeRung {
  double time;  // part of the epochs after the warm-up
  double keep;
};
constexpr RelativeRung kRungs[] = {{0.12, 1.0 / 3}, {0.45, 1.0 / 3}};

}  // namespace

std::vector<Rung> halving_rungs(int64_t epochs, int64_t warmup_epochs) {
  std::vector<Rung> rungs;
  for (const auto& [time, keep] : kRungs) {
    const auto after = static_cast<double>(epochs - warmup_epochs);
    const int64_t epoch = warmup_epochs + std::max<int64_t>(1, std::lround(time * after));
    if (epoch >= epochs) continue;
    if (!rungs.empty() && rungs.back().epoch == epoch) {
      rungs.back().keep *= keep;
    } else {
      rungs.push_back({epoch, keep});
    }
  }
  return rungs;
}

double halving_work(const std::vector<Rung>& rungs, double epochs) {
  double work = 0;
  double part = 1;
  double from = 0;
  for (const auto& rung : rungs) {
    const auto to = static_cast<double>(rung.epoch);
    if (to >= epochs) break;
    work += part * (to - from);
    part *= rung.keep;
    from = to;
  }
  return work + part * (epochs - from);
}

double halving_cost(const std::vector<Rung>& rungs, int64_t epochs) {
  const auto all = static_cast<double>(epochs);
  return halving_work(rungs, all) / all;
}

std::vector<int64_t> going_on(const std::vector<Candidate>& candidates, double keep) {
  std::map<std::pair<int64_t, Method>, std::vector<int64_t>> groups;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const auto& setting = candidates[i].setting;
    groups[{setting.target, setting.network.method}].push_back(static_cast<int64_t>(i));
  }
  std::vector<int64_t> result;
  for (const auto& [group, members] : groups) {
    std::vector<Candidate> rivals;
    for (const int64_t member : members) rivals.push_back(candidates[static_cast<size_t>(member)]);
    const auto ranked = rank_settings(rivals);
    // Less a little: 1/3 of 9 is 3, whatever rounding makes of it.
    const auto count = static_cast<size_t>(
        std::max(1.0, std::ceil(keep * static_cast<double>(ranked.size()) - 1e-9)));
    for (size_t c = 0; c < std::min(count, ranked.size()); ++c) {
      for (const int64_t rival : ranked[c].members) {
        result.push_back(members[static_cast<size_t>(rival)]);
      }
    }
  }
  std::sort(result.begin(), result.end());
  return result;
}

}  // namespace last
