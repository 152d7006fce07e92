#pragma once

#include <cstdint>
#include <vector>

#include "common/feature_store/manifest.h"
#include "common/io/checksum.h"

namespace last {

// What a shard knows of each row besides its features, as the data sets hold it.
struct RowTable {
  explicit RowTable(int64_t rows)
      : states(static_cast<size_t>(rows)),
        crcs(static_cast<size_t>(rows)),
        digests(static_cast<size_t>(rows)),
        thumbnail_crcs(static_cast<size_t>(rows)) {}

  std::vector<uint8_t> states;  // RowState
  std::vector<uint32_t> crcs;
  std::vector<Sha256Digest> digests;
  std::vector<uint32_t> thumbnail_crcs;  // zeros without thumbnails
};

}  // namespace last
