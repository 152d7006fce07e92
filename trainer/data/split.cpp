#include "trainer/data/split.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>

#include "trainer/data/sampler.h"

namespace last {
namespace {

constexpr uint64_t kSplitStream = 0x73706c6974;  // apart from the epochs' streams

}  // namespace

Split stratified_split(const std::vector<int32_t>& labels, const std::vector<int64_t>& images,
                       double fraction, uint64_t seed) {
  std::unordered_map<int64_t, std::vector<int64_t>> samples_of;
  std::map<int32_t, std::vector<int64_t>> by_class;  // images
  for (size_t i = 0; i < labels.size(); ++i) {
    auto& samples = samples_of[images[i]];
    if (samples.empty()) by_class[labels[i]].push_back(images[i]);
    samples.push_back(static_cast<int64_t>(i));
  }

  RandomStream random(mix_seed(seed, kSplitStream));
  Split split;
  double owed = 0;  // fractions carry over, so that small classes add up to the whole
  for (auto& [label, members] : by_class) {
    shuffle(members, random);
    owed += fraction * static_cast<double>(members.size());
    const auto limit = static_cast<int64_t>(members.size()) - 1;
    const int64_t count = std::clamp<int64_t>(std::llround(owed), 0, limit);
    // What a class is too small to give, no other class pays for.
    owed = std::clamp(owed - static_cast<double>(count), -0.5, 0.5);
    for (size_t i = 0; i < members.size(); ++i) {
      auto& side = static_cast<int64_t>(i) < count ? split.val : split.train;
      const auto& samples = samples_of[members[i]];
      side.insert(side.end(), samples.begin(), samples.end());
    }
  }
  std::sort(split.train.begin(), split.train.end());
  std::sort(split.val.begin(), split.val.end());
  return split;
}

}  // namespace last
