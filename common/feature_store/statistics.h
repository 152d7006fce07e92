#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/feature_store/manifest.h"
#include "common/io/file.h"

namespace last {

// Mean and population standard deviation per (layer, channel), each [layers, dim] row-major.
struct ChannelStatistics {
  std::vector<float> mean;
  std::vector<float> std;
};

// Over all tokens of `rows` (at least one), read from `file`, whose row 0 lies at
// `features_offset`. The sums run in the order of rows, then tokens, in double precision: the
// result does not depend on the number of threads.
ChannelStatistics compute_statistics(const File& file, const Manifest& manifest,
                                     uint64_t features_offset, std::span<const int64_t> rows);

}  // namespace last
