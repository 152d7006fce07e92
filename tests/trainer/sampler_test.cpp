#include "trainer/data/sampler.h"

#include <algorithm>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

#include "trainer/data/split.h"

namespace last {
namespace {

TEST(RandomStream, IsSplitMix64) {
  // The published test vector of SplitMix64 for seed 1234567.
  RandomStream random(1234567);
  EXPECT_EQ(random.next(), 6457827717110365317ULL);
  EXPECT_EQ(random.next(), 3203168211198807973ULL);
  EXPECT_EQ(random.next(), 9817491932198370423ULL);
}

TEST(EpochOrder, HoldsEverySampleOnceAndDependsOnEpochAndSeed) {
  const std::vector<int64_t> views(100, 1);
  const auto order = epoch_order(views, 7, 3);
  std::set<int64_t> samples;
  for (const auto& draw : order) samples.insert(draw.sample);
  EXPECT_EQ(samples.size(), 100u);
  const auto same = [&](uint64_t seed, int64_t epoch) {
    const auto other = epoch_order(views, seed, epoch);
    return std::equal(order.begin(), order.end(), other.begin(),
                      [](const Draw& a, const Draw& b) { return a.sample == b.sample; });
  };
  EXPECT_TRUE(same(7, 3));
  EXPECT_FALSE(same(7, 4));
  EXPECT_FALSE(same(8, 3));
}

TEST(EpochOrder, DrawsEveryViewSooner) {
  const std::vector<int64_t> views(50, 4);
  std::set<int64_t> seen;
  for (const auto& draw : epoch_order(views, 0, 0)) seen.insert(draw.view);
  EXPECT_EQ(seen, (std::set<int64_t>{0, 1, 2, 3}));
}

TEST(StratifiedSplit, TakesTheFractionOfEveryClass) {
  std::vector<int32_t> labels;
  for (int i = 0; i < 100; ++i) labels.push_back(i % 4);
  labels.push_back(9);  // a class of one image stays in train
  std::vector<int64_t> images(labels.size());
  std::iota(images.begin(), images.end(), int64_t{0});
  const auto split = stratified_split(labels, images, 0.2, 1);
  EXPECT_EQ(split.val.size(), 20u);
  EXPECT_EQ(split.train.size() + split.val.size(), labels.size());
  for (int32_t label = 0; label < 4; ++label) {
    const auto count = std::count_if(split.val.begin(), split.val.end(), [&](int64_t i) {
      return labels[static_cast<size_t>(i)] == label;
    });
    EXPECT_EQ(count, 5);
  }
  EXPECT_TRUE(std::binary_search(split.train.begin(), split.train.end(), 100));
  EXPECT_EQ(stratified_split(labels, images, 0.2, 1).val, split.val);
  EXPECT_NE(stratified_split(labels, images, 0.2, 2).val, split.val);
}

TEST(StratifiedSplit, KeepsSamplesOfOneImageOnOneSide) {
  std::vector<int32_t> labels;
  std::vector<int64_t> images;
  for (int64_t i = 0; i < 100; ++i) {
    labels.push_back(static_cast<int32_t>(i % 50 % 2));
    images.push_back(i % 50);  // every image twice
  }
  labels[99] = 7;  // the second of an image, labelled otherwise: it follows the first
  const auto split = stratified_split(labels, images, 0.2, 1);
  ASSERT_EQ(split.val.size(), 20u);
  EXPECT_EQ(split.train.size(), 80u);
  EXPECT_TRUE(std::is_sorted(split.val.begin(), split.val.end()));
  for (size_t i = 0; i < 10; ++i) EXPECT_EQ(split.val[i] + 50, split.val[i + 10]);
}

// Classes of one image give none to val, and no other class gives more for them.
TEST(StratifiedSplit, ClassesTooSmallToBeSplitLeaveTheOthersAlone) {
  std::vector<int32_t> labels;
  for (int32_t label = 0; label < 200; ++label) labels.push_back(label);
  for (int32_t label = 200; label < 203; ++label) labels.insert(labels.end(), 50, label);
  std::vector<int64_t> images(labels.size());
  std::iota(images.begin(), images.end(), int64_t{0});
  const auto split = stratified_split(labels, images, 0.2, 1);
  std::map<int32_t, int> taken;
  for (const int64_t sample : split.val) ++taken[labels[static_cast<size_t>(sample)]];
  ASSERT_EQ(taken.size(), 3u);
  for (const auto& [label, count] : taken) {
    EXPECT_GE(count, 10) << label;
    EXPECT_LE(count, 11) << label;
  }
}

}  // namespace
}  // namespace last
