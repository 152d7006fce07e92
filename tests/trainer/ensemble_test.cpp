#include "trainer/sweep/ensemble.h"

#include <gtest/gtest.h>

namespace last {
namespace {

// Two classes, labels all 0; a network is the list of its probabilities of class 0.
Predictions predictions_of(const std::vector<std::vector<float>>& networks) {
  Predictions p;
  p.networks = static_cast<int64_t>(networks.size());
  p.classes = 2;
  p.labels.assign(networks.front().size(), 0);
  for (const auto& network : networks) {
    for (const float right : network) {
      p.probabilities.push_back(right);
      p.probabilities.push_back(1 - right);
    }
  }
  return p;
}

using Members = std::vector<int64_t>;

TEST(SelectEnsemble, StartsWithTheMostAccurateAndAddsWhatHelpsIt) {
  // The second is right on 3 of 4; the third is weak, but sure where the second is wrong.
  const auto p = predictions_of(
      {{0.6F, 0.6F, 0.4F, 0.4F}, {0.9F, 0.9F, 0.9F, 0.3F}, {0.4F, 0.4F, 0.4F, 0.99F}});
  EXPECT_EQ(select_ensemble(p, 1).members, (Members{1}));
  EXPECT_DOUBLE_EQ(select_ensemble(p, 1).accuracy, 75);
  const auto two = select_ensemble(p, 2);
  EXPECT_EQ(two.members, (Members{1, 2}));
  EXPECT_DOUBLE_EQ(two.accuracy, 100);
}

TEST(SelectEnsemble, MayTakeANetworkAgain) {
  const auto p = predictions_of({{0.9F, 0.9F}, {0.2F, 0.2F}});
  EXPECT_EQ(select_ensemble(p, 3).members, (Members{0, 0, 0}));
}

TEST(SelectEnsemble, AmongEquallyAccurateOnesTheLowerCrossEntropyDecidesThenTheFirst) {
  EXPECT_EQ(select_ensemble(predictions_of({{0.6F, 0.6F}, {0.9F, 0.9F}}), 1).members, (Members{1}));
  EXPECT_EQ(select_ensemble(predictions_of({{0.9F, 0.9F}, {0.9F, 0.9F}}), 1).members, (Members{0}));
}

TEST(SelectEnsemble, OfNothingIsNothing) {
  EXPECT_TRUE(select_ensemble(Predictions{}, 4).members.empty());
  auto unlabelled = predictions_of({{0.5F}});
  unlabelled.labels.clear();
  EXPECT_TRUE(select_ensemble(unlabelled, 4).members.empty());
}

}  // namespace
}  // namespace last
