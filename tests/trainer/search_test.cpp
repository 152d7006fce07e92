#include "trainer/sweep/search.h"

#include <map>
#include <set>

#include <gtest/gtest.h>

#include "common/error.h"

namespace last {
namespace {

SearchSpace space() {
  SearchSpace s;
  s.methods = {Method::kLast, Method::kLinear};
  s.ranks = {4, 8};
  s.learning_rates = {1e-4, 1e-3, 1e-2};
  s.weight_decays = {0, 1};
  s.seeds = {7, 3};
  return s;
}

TEST(Search, ReadsAndWritesItsNames) {
  for (const char* name : {"grid", "halving", "random:12"}) {
    EXPECT_EQ(to_string(parse_search(name)), name);
  }
  for (const char* name : {"", "random", "random:", "random:0", "random:-1", "random:x", "Grid"}) {
    EXPECT_THROW(parse_search(name), UsageError) << name;
  }
}

TEST(DrawSettings, DrawsTheSameSettingsForEveryTargetWithAllSeeds) {
  const auto grid = make_grid(space(), 2);
  const auto drawn = draw_settings(grid, 5, 0);
  std::map<std::pair<Method, int64_t>, std::set<std::pair<double, double>>> points;
  std::map<std::pair<Method, int64_t>, int> counts;
  for (size_t i = 0; i < drawn.size(); ++i) {
    const auto& s = drawn[i];
    EXPECT_TRUE(same_but_for_seed(s, grid[static_cast<size_t>(s.index)]));
    EXPECT_EQ(s.seed, grid[static_cast<size_t>(s.index)].seed);
    if (i > 0) {
      EXPECT_LT(drawn[i - 1].index, s.index);
    }
    counts[{s.network.method, s.target}] += 1;
    points[{s.network.method, s.target}].insert(
        {s.learning_rate + 100 * static_cast<double>(s.network.rank), s.weight_decay});
  }
  ASSERT_EQ(points.size(), 4u);
  for (const auto& [group, values] : points) {
    EXPECT_EQ(counts[group], 10);  // 5 settings, 2 seeds
    EXPECT_EQ(values.size(), 5u);
    EXPECT_EQ(values, (points[{group.first, 0}]));
  }
}

TEST(DrawSettings, DependsOnTheSeedAndReachesEverySetting) {
  const auto grid = make_grid(space(), 1);
  std::set<int64_t> reached;
  std::set<std::vector<int64_t>> draws;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    std::vector<int64_t> indices;
    for (const auto& s : draw_settings(grid, 2, seed)) indices.push_back(s.index);
    EXPECT_EQ(indices.size(), 8u);
    reached.insert(indices.begin(), indices.end());
    draws.insert(indices);
  }
  EXPECT_EQ(reached.size(), grid.size());
  EXPECT_GT(draws.size(), 20u);
}

TEST(DrawSettings, TakesAllWhereThereAreFewer) {
  const auto grid = make_grid(space(), 1);  // 12 settings of last, 6 of linear
  EXPECT_EQ(draw_settings(grid, 100, 1).size(), grid.size());
  EXPECT_EQ(draw_settings(grid, 8, 1).size(), 2u * (8 + 6));
}

}  // namespace
}  // namespace last
