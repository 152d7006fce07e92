#pragma once

#include <string>

#include "common/feature_store/each_row.h"
#include "common/feature_store/manifest.h"
#include "common/feature_store/metadata.h"
#include "common/feature_store/row_table.h"
#include "common/io/file.h"

namespace last {

// PATH.partial, ready for rows.
struct PartialFile {
  Manifest manifest;
  StoreExtents extents;
  uint64_t hdf5_size = 0;
  File file;  // for reading and writing
  RowTable rows{0};
  bool resumed = false;
};

std::string partial_path(const std::string& path);

// Creates PATH.partial with its space reserved, or checks and takes over an existing one;
// `progress` hears of the rows that are checked. The caller holds the lock on PATH.lock. See
// FeatureStoreWriter for what is an Error.
PartialFile open_partial(const std::string& path, Manifest manifest, const RowProgress& progress);

}  // namespace last
