#include "trainer/data/split.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "trainer/data/sampler.h"

namespace last {
namespace {

constexpr uint64_t kSplitStream = 0x73706c6974;  // apart from the epochs' streams

}  // namespace

Split stratified_split(const std::vector<int32_t>& labels, double fraction, uint64_t seed) {
  std::map<int32_t, std::vector<int64_t>> by_class;
  for (size_t i = 0; i < labels.size(); ++i) by_class[labels[i]].push_back(static_cast<int64_t>(i));

  RandomStream random(mix_seed(seed, kSplitStream));
  Split split;
  double owed = 0;  // fractions carry over, so that small classes add up to the whole
  for (auto& [label, samples] : by_class) {
    shuffle(samples, random);
    owed += fraction * static_cast<double>(samples.size());
    const auto limit = static_cast<int64_t>(samples.size()) - 1;
    const int64_t count = std::clamp<int64_t>(std::llround(owed), 0, limit);
    owed -= static_cast<double>(count);
    split.val.insert(split.val.end(), samples.begin(), samples.begin() + count);
    split.train.insert(split.train.end(), samples.begin() + count, samples.end());
  }
  std::sort(split.train.begin(), split.train.end());
  std::sort(split.val.begin(), split.val.end());
  return split;
}

}  // namespace last
