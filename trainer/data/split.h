#pragma once

#include <cstdint>
#include <vector>

namespace last {

struct Split {
  std::vector<int64_t> train;  // sample indices, ascending
  std::vector<int64_t> val;
};

// Puts `fraction` of each class of `labels` ([samples], -1 = unlabelled, a class of its own) into
// val, drawn with `seed`. A class keeps at least one training sample.
Split stratified_split(const std::vector<int32_t>& labels, double fraction, uint64_t seed);

}  // namespace last
