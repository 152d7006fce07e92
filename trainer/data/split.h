#pragma once

#include <cstdint>
#include <vector>

namespace last {

struct Split {
  std::vector<int64_t> train;  // sample indices, ascending
  std::vector<int64_t> val;
};

// Puts `fraction` of each class's images into val, drawn with `seed`. Samples of one image stay on
// one side, whatever they are called, or validation would see what was trained on; their class is
// that of the first. A class keeps at least one of its images in train.
//   labels [samples], -1 = unlabelled, a class of its own
//   images [samples], equal where samples show the same image
Split stratified_split(const std::vector<int32_t>& labels, const std::vector<int64_t>& images,
                       double fraction, uint64_t seed);

}  // namespace last
