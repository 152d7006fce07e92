#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "common/feature_store/manifest.h"
#include "common/io/checksum.h"

namespace last {

struct StoreStatistics {
  at::Tensor mean;  // fp32 [layers, dim], over the tokens of all stored rows
  at::Tensor std;   // fp32 [layers, dim], of the population
};

// A finished store: one file, or the complete set of shards of NAME.h5. Checks the footer before
// HDF5 sees the file, then schema and completeness, and reads rows with positional reads. Each
// row's CRC is checked on its first read. Thread-safe after construction.
//
// A file without our footer that HDF5 can open (repacked, filtered) is read through HDF5, slowly.
class FeatureStoreReader {
 public:
  explicit FeatureStoreReader(const std::string& path);
  ~FeatureStoreReader();

  // Of all shards together: rows, sample ids, labels are joined in shard order; config["run"] is
  // the first shard's. Of one shard read alone it is that shard's own.
  const Manifest& manifest() const;
  const std::vector<std::string>& shard_files() const;
  RowState state(int64_t row) const;
  Sha256Digest image_digest(int64_t row) const;
  // Rows in state kStored, ascending.
  const std::vector<int64_t>& stored_rows() const;
  // What the user should know, one line each (e.g. a repacked file); the caller prints them.
  const std::vector<std::string>& warnings() const;
  StoreStatistics statistics() const;  // of one shard; for several, joined by their row counts

  // SHA-256 over what the rows hold: states, image digests and CRCs, labels and class names. Equal
  // for two stores with the same data, in however many shards.
  std::string content_sha256() const;

  // Reads rows (indices into all rows) into `destination`, row_bytes() each, contiguous. An Error
  // names file, row, expected and found CRC of a damaged row; a bad image has no row to read.
  void read_rows(std::span<const int64_t> rows, void* destination) const;
  // The maps of one row whose indices into the stored layers are given, ascending, side by side.
  // Only these are read, except on the row's first read; `buffer` is working memory of the thread.
  void read_maps(int64_t row, std::span<const int64_t> maps, void* destination,
                 std::vector<char>& buffer) const;
  // A hint that the row will be read soon.
  void will_need(int64_t row) const;
  // One row as [layers, tokens, dim] in the store's dtype.
  at::Tensor read_row(int64_t row) const;

  // The picture of a row, uint8 [S, S, 3] RGB, black for a bad image; S =
  // manifest().thumbnail_size. An Error where it is damaged, or the store has none.
  at::Tensor thumbnail(int64_t row) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Checks every checksum of every shard; calls `on_row(rows checked)`. Returns one line per damage
// found. A file that doesn't even open is one line, and the others are checked all the same. An
// Error only where there is no (complete) store.
std::vector<std::string> verify_feature_store(const std::string& path,
                                              const std::function<void(int64_t)>& on_row);

// True where PATH, or any shard of it, exists as a finished file.
bool feature_store_exists(const std::string& path);

}  // namespace last
