#include "trainer/training/schedule.h"

#include <cmath>
#include <numbers>

#include <gtest/gtest.h>

#include "trainer/training/stage.h"

namespace last {
namespace {

TEST(LearningRate, WarmsUpFromNearlyNothing) {
  EXPECT_DOUBLE_EQ(learning_rate_at(0, 1e-3, 100, 10), 1e-7);
  EXPECT_DOUBLE_EQ(learning_rate_at(5, 1e-3, 100, 10), 1e-7 + (1e-3 - 1e-7) * 0.5);
}

TEST(LearningRate, FallsAsHalfACosine) {
  EXPECT_DOUBLE_EQ(learning_rate_at(10, 1e-3, 100, 10), 1e-3);
  EXPECT_NEAR(learning_rate_at(55, 1e-3, 100, 10), 1e-8 + (1e-3 - 1e-8) / 2, 1e-15);
  const double last = 1e-8 + (1e-3 - 1e-8) * (1 + std::cos(std::numbers::pi * 89 / 90)) / 2;
  EXPECT_DOUBLE_EQ(learning_rate_at(99, 1e-3, 100, 10), last);
}

TEST(LearningRate, CanStartAtThePeak) { EXPECT_DOUBLE_EQ(learning_rate_at(0, 2e-3, 30, 0), 2e-3); }

TEST(ValidationPeriod, CostsAtMostATenthOfTraining) {
  EXPECT_EQ(validation_period(800, 200), 1);
  EXPECT_EQ(validation_period(1000, 2000), 7);  // a forward pass is a third of a step
  EXPECT_EQ(validation_period(1000, 0), 1);
}

}  // namespace
}  // namespace last
