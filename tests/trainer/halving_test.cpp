#include "trainer/sweep/halving.h"

#include <limits>

#include <gtest/gtest.h>

namespace last {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

Candidate candidate(int64_t index, double rate, double accuracy, int64_t seed = 0,
                    int64_t target = 0, Method method = Method::kLast) {
  Candidate c;
  c.setting.index = index;
  c.setting.learning_rate = rate;
  c.setting.seed = seed;
  c.setting.target = target;
  c.setting.network.method = method;
  c.val_accuracy = accuracy;
  c.parameters = 100;
  return c;
}

using Indices = std::vector<int64_t>;

TEST(HalvingRungs, AscendInsideTheTrainingAndSaveTime) {
  for (const int64_t epochs : {1, 2, 3, 5, 20, 30, 100, 1000}) {
    const auto rungs = halving_rungs(epochs, epochs / 10);
    int64_t last = epochs / 10;
    for (const auto& rung : rungs) {
      EXPECT_GT(rung.epoch, last);
      EXPECT_LT(rung.epoch, epochs);
      EXPECT_GT(rung.keep, 0);
      EXPECT_LT(rung.keep, 1);
      last = rung.epoch;
    }
    if (epochs >= 20) {
      EXPECT_LE(halving_cost(rungs, epochs), 0.4) << epochs;
    }
  }
  EXPECT_TRUE(halving_rungs(1, 0).empty());
  EXPECT_TRUE(halving_rungs(10, 9).empty());
  EXPECT_EQ(halving_rungs(12, 1).front().epoch, 2);
  EXPECT_EQ(halving_rungs(12, 1).back().epoch, 6);
  EXPECT_GT(halving_rungs(30, 10).front().epoch, 10);  // never while the rate still rises
}

TEST(HalvingCost, CountsWhatIsTrained) {
  EXPECT_DOUBLE_EQ(halving_cost({}, 10), 1);
  EXPECT_DOUBLE_EQ(halving_cost({{2, 0.5}, {6, 0.25}}, 10), 0.2 + 0.5 * 0.4 + 0.125 * 0.4);
  EXPECT_DOUBLE_EQ(halving_work({{2, 0.5}, {6, 0.25}}, 1.5), 1.5);
  EXPECT_DOUBLE_EQ(halving_work({{2, 0.5}, {6, 0.25}}, 2), 2);
  EXPECT_DOUBLE_EQ(halving_work({{2, 0.5}, {6, 0.25}}, 4), 2 + 0.5 * 2);
  EXPECT_DOUBLE_EQ(halving_work({{2, 0.5}, {6, 0.25}}, 6.5), 2 + 0.5 * 4 + 0.125 * 0.5);
}

TEST(GoingOn, KeepsTheBestRoundedUpAndAtLeastOne) {
  std::vector<Candidate> all;
  for (int64_t i = 0; i < 7; ++i) {
    all.push_back(candidate(i, 1e-3 * static_cast<double>(i + 1), static_cast<double>(i)));
  }
  EXPECT_EQ(going_on(all, 1.0 / 3), (Indices{4, 5, 6}));
  EXPECT_EQ(going_on(all, 0.01), (Indices{6}));
  all.resize(6);
  EXPECT_EQ(going_on(all, 1.0 / 3), (Indices{4, 5}));
  EXPECT_EQ(going_on({candidate(0, 1e-3, kNaN)}, 0.5), (Indices{0}));
}

TEST(GoingOn, SeedsOfASettingShareTheirFate) {
  EXPECT_EQ(going_on({candidate(0, 1e-3, 99, 0), candidate(1, 1e-3, 1, 1),
                      candidate(2, 1e-2, 60, 0), candidate(3, 1e-2, 61, 1)},
                     0.5),
            (Indices{2, 3}));
}

TEST(GoingOn, ComparesWithinTargetAndMethodOnly) {
  EXPECT_EQ(going_on({candidate(0, 1e-3, 10), candidate(1, 1e-2, 20), candidate(2, 1e-3, 95, 0, 1),
                      candidate(3, 1e-2, 90, 0, 1), candidate(4, 1e-3, 70, 0, 0, Method::kLinear),
                      candidate(5, 1e-2, 71, 0, 0, Method::kLinear)},
                     0.5),
            (Indices{1, 2, 5}));
}

TEST(GoingOn, ASettingThatLostASeedIsTheWorst) {
  EXPECT_EQ(going_on({candidate(0, 1e-3, 99, 0), candidate(1, 1e-3, kNaN, 1),
                      candidate(2, 1e-2, 5, 0), candidate(3, 1e-2, 6, 1)},
                     0.5),
            (Indices{2, 3}));
}

}  // namespace
}  // namespace last
