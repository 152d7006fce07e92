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
        checks(static_cast<size_t>(rows)),
        digests(static_cast<size_t>(rows)),
        thumbnail_crcs(static_cast<size_t>(rows)) {}

  // What /row_check holds of a row in this state: CRC-32C over state, CRC, the picture's CRC and
  // digest.
  uint32_t check_of(size_t row, RowState state) const {
    const auto byte = static_cast<uint8_t>(state);
    uint32_t crc = crc32c(&byte, sizeof byte);
    crc = crc32c(&crcs[row], sizeof crcs[row], crc);
    crc = crc32c(&thumbnail_crcs[row], sizeof thumbnail_crcs[row], crc);
    return crc32c(digests[row].data(), digests[row].size(), crc);
  }

  std::vector<uint8_t> states;  // RowState
  std::vector<uint32_t> crcs;
  std::vector<uint32_t> checks;  // only of unfinished files
  std::vector<Sha256Digest> digests;
  std::vector<uint32_t> thumbnail_crcs;  // zeros without thumbnails
};

}  // namespace last
