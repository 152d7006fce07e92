#include "trainer/sweep/selection.h"

#include <limits>

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

TEST(ChooseBest, TiesGoToTheLowerMeanLossOverSeeds) {
  std::vector<Candidate> all = {candidate(0, 1e-3, 0, 90, 100), candidate(1, 1e-3, 1, 92, 100),
                                candidate(2, 1e-2, 0, 91, 200), candidate(3, 1e-2, 1, 91, 200)};
  const double losses[] = {0.2, 0.5, 0.3, 0.3};
  for (size_t i = 0; i < all.size(); ++i) all[i].val_loss = losses[i];
  EXPECT_EQ(choose_best(all)->setting.index, 2);
  all[3].val_loss = std::numeric_limits<double>::quiet_NaN();  // what is unknown loses ties
  EXPECT_EQ(choose_best(all)->setting.index, 0);
  all[2].val_accuracy = 92;  // but only these
  EXPECT_EQ(choose_best(all)->setting.index, 2);
}

TEST(ChooseBest, RoundingDoesNotDecideTies) {
  const auto percent = [](int correct) { return 100.0 * correct / 150; };
  std::vector<Candidate> all = {
      candidate(0, 1e-3, 0, percent(120)), candidate(1, 1e-3, 1, percent(121)),
      candidate(2, 1e-2, 0, percent(122)), candidate(3, 1e-2, 1, percent(119))};
  ASSERT_GT(percent(120) + percent(121), percent(122) + percent(119));
  all[0].val_loss = 1;
  EXPECT_EQ(choose_best(all)->setting.index, 2);
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
