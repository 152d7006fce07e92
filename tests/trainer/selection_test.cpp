#include "trainer/sweep/selection.h"

#include <gtest/gtest.h>

namespace last {
namespace {

Candidate candidate(int64_t index, double rate, int64_t seed, double accuracy,
                    int64_t parameters = 100) {
  Candidate c;
  c.setting.index = index;
  c.setting.learning_rate = rate;
  c.setting.seed = seed;
  c.val_accuracy = accuracy;
  c.parameters = parameters;
  return c;
}

TEST(ChooseBest, TakesTheHighestMeanOverSeeds) {
  const auto best = choose_best({candidate(0, 1e-3, 1, 99), candidate(1, 1e-3, 0, 81),
                                 candidate(2, 1e-2, 0, 91), candidate(3, 1e-2, 1, 90)});
  ASSERT_TRUE(best);
  EXPECT_EQ(best->setting.learning_rate, 1e-2);
  EXPECT_DOUBLE_EQ(best->mean_val_accuracy, 90.5);
  EXPECT_EQ(best->members, (std::vector<int64_t>{2, 3}));
}

TEST(ChooseBest, ExportsTheLowestSeed) {
  const auto best = choose_best({candidate(0, 1e-3, 5, 90), candidate(1, 1e-3, 2, 80)});
  EXPECT_EQ(best->setting.seed, 2);
  EXPECT_EQ(best->setting.index, 1);
}

TEST(ChooseBest, TiesGoToFewerParametersThenToTheLowerIndex) {
  EXPECT_EQ(
      choose_best({candidate(0, 1e-3, 0, 90, 200), candidate(1, 1e-2, 0, 90, 100)})->setting.index,
      1);
  EXPECT_EQ(choose_best({candidate(0, 1e-3, 0, 90), candidate(1, 1e-2, 0, 90)})->setting.index, 0);
  EXPECT_FALSE(choose_best({}));
}

}  // namespace
}  // namespace last
