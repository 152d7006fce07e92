#include "trainer/sweep/search.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include "common/cli/parse.h"
#include "common/error.h"
#include "trainer/data/sampler.h"

namespace last {
namespace {

constexpr char kRandomPrefix[] = "random:";
constexpr uint64_t kDrawStream = 0x7365617263680000;  // keeps the draws apart from other streams

using Repetitions = std::vector<Setting>;  // one setting with all its seeds

// The settings of one target and method in grid order.
std::vector<Repetitions> repetitions_of(const std::vector<Setting>& grid, Method method,
                                        int64_t target) {
  std::vector<Repetitions> all;
  for (const auto& setting : grid) {
    if (setting.network.method != method || setting.target != target) continue;
    if (all.empty() || !same_but_for_seed(all.back().back(), setting)) all.emplace_back();
    all.back().push_back(setting);
  }
  return all;
}

std::vector<int64_t> draw(int64_t population, int64_t count, uint64_t seed) {
  std::vector<int64_t> order(static_cast<size_t>(population));
  std::iota(order.begin(), order.end(), 0);
  RandomStream random(seed);
  shuffle(order, random);
  order.resize(static_cast<size_t>(std::min(population, count)));
  return order;
}

}  // namespace

Search parse_search(const std::string& text) {
  if (text == "grid") return {SearchKind::kGrid, 0};
  if (text == "halving") return {SearchKind::kHalving, 0};
  if (text.rfind(kRandomPrefix, 0) == 0) {
    const int64_t draws = parse_integer("--search random", text.substr(sizeof(kRandomPrefix) - 1));
    if (draws < 1) fail_usage("--search: ", text, " draws nothing");
    return {SearchKind::kRandom, draws};
  }
  fail_usage("--search: \"", text, "\" is not one of grid, random:N, halving");
}

std::string to_string(const Search& search) {
  switch (search.kind) {
    case SearchKind::kGrid:
      return "grid";
    case SearchKind::kRandom:
      return concat(kRandomPrefix, search.draws);
    case SearchKind::kHalving:
      return "halving";
  }
  return "?";
}

std::vector<Setting> draw_settings(const std::vector<Setting>& grid, int64_t count, uint64_t seed) {
  std::set<std::pair<Method, int64_t>> groups;
  for (const auto& setting : grid) groups.insert({setting.network.method, setting.target});
  std::vector<Setting> drawn;
  for (const auto& [method, target] : groups) {
    const auto settings = repetitions_of(grid, method, target);
    const uint64_t stream = kDrawStream + static_cast<uint64_t>(method);
    for (const int64_t i :
         draw(static_cast<int64_t>(settings.size()), count, mix_seed(seed, stream))) {
      const auto& networks = settings[static_cast<size_t>(i)];
      drawn.insert(drawn.end(), networks.begin(), networks.end());
    }
  }
  std::sort(drawn.begin(), drawn.end(),
            [](const Setting& a, const Setting& b) { return a.index < b.index; });
  return drawn;
}

}  // namespace last
