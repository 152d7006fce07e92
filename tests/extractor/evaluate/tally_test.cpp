#include "extractor/evaluate/tally.h"

#include <cmath>

#include <gtest/gtest.h>

namespace last {
namespace {

TEST(Tally, IsNaNWithoutLabels) {
  const Tally tally;
  EXPECT_EQ(tally.labelled(), 0);
  EXPECT_TRUE(std::isnan(tally.accuracy()));
  EXPECT_TRUE(std::isnan(tally.mean_class_accuracy()));
  EXPECT_TRUE(tally.counts().empty());
}

TEST(Tally, CountsClassesAlikeHoweverManyImagesTheyHave) {
  Tally tally;
  for (int i = 0; i < 6; ++i) tally.add(0, 0);
  for (int i = 0; i < 2; ++i) tally.add(0, 2);
  tally.add(1, 1);
  tally.add(1, 0);
  EXPECT_EQ(tally.labelled(), 10);
  EXPECT_DOUBLE_EQ(tally.accuracy(), 70);                          // 7 of 10
  EXPECT_DOUBLE_EQ(tally.mean_class_accuracy(), (75 + 50) / 2.0);  // class 2 has no images
  EXPECT_EQ(tally.counts().at({0, 2}), 2);
  EXPECT_EQ(tally.counts().size(), 4u);
}

TEST(Tally, AClassThatIsNeverRightCounts) {
  Tally tally;
  for (int i = 0; i < 3; ++i) tally.add(0, 0);
  tally.add(5, 0);
  EXPECT_DOUBLE_EQ(tally.accuracy(), 75);
  EXPECT_DOUBLE_EQ(tally.mean_class_accuracy(), 50);
}

}  // namespace
}  // namespace last
