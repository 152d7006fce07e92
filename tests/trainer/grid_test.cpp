#include "trainer/sweep/grid.h"

#include <gtest/gtest.h>

namespace last {
namespace {

TEST(Grid, LastOptionIsTheFastest) {
  SearchSpace space;
  space.ranks = {4, 16};
  space.learning_rates = {1e-3, 1e-2};
  space.seeds = {0, 1};
  const auto grid = make_grid(space, 1);
  ASSERT_EQ(grid.size(), 8u);
  EXPECT_EQ(grid[1].seed, 1);
  EXPECT_EQ(grid[1].learning_rate, 1e-3);
  EXPECT_EQ(grid[2].learning_rate, 1e-2);
  EXPECT_EQ(grid[3].network.rank, 4);
  EXPECT_EQ(grid[4].network.rank, 16);
  for (size_t i = 0; i < grid.size(); ++i) EXPECT_EQ(grid[i].index, static_cast<int64_t>(i));
}

TEST(Grid, ALinearProbeIsNotMultipliedByModuleOptions) {
  SearchSpace space;
  space.methods = {Method::kLast, Method::kLinear};
  space.ranks = {4, 8, 16};
  space.heads = {1, 2};
  space.variants = {Variant::kB, Variant::kC};
  space.pools = {Pool::kCls, Pool::kMeanPatch};
  const auto grid = make_grid(space, 3);
  const auto linear = std::count_if(grid.begin(), grid.end(), [](const Setting& s) {
    return s.network.method == Method::kLinear;
  });
  EXPECT_EQ(linear, 3 * 2);
  EXPECT_EQ(grid.size(), static_cast<size_t>(3 * (3 * 2 * 2 * 2) + linear));
}

TEST(Grid, SeedsAreRepetitionsOfOneSetting) {
  SearchSpace space;
  space.seeds = {3, 4};
  space.weight_decays = {0.05, 1};
  const auto grid = make_grid(space, 1);
  EXPECT_TRUE(same_but_for_seed(grid[0], grid[1]));
  EXPECT_FALSE(same_but_for_seed(grid[0], grid[2]));
}

}  // namespace
}  // namespace last
