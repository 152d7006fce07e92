#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/feature_store/manifest.h"
#include "common/io/checksum.h"

namespace last {

// Writes one shard: PATH.partial under a lock on PATH.lock, renamed to PATH by finish().
//
// A row goes features -> thumbnail -> digest and CRC -> state, each with a positional write at its
// final offset, so that a killed process loses unfinished rows only. Rows may be written from
// several threads at once, each row by one of them.
class FeatureStoreWriter {
 public:
  // Creates PATH.partial and reserves its whole space (an Error names the missing bytes), or
  // resumes an existing one: its manifest must equal `manifest` (the first difference is named; one
  // without a stored row is replaced), and every row marked stored must match its CRC; those that
  // don't are marked absent again. Rows marked bad are marked absent as well: the image may have
  // been mended. PATH itself, or shards of another count beside it, are an Error.
  FeatureStoreWriter(const std::string& path, Manifest manifest);
  ~FeatureStoreWriter();  // leaves PATH.partial for a later resume unless finish() was called

  // As the file has it: config["run"] is that of the run which created it.
  const Manifest& manifest() const;
  bool resumed() const;
  RowState state(int64_t row) const;
  // Digest of the image file recorded with a stored row. After a power loss it may be zeros or that
  // of an earlier image: compute the row again where it differs from the image's.
  Sha256Digest image_digest(int64_t row) const;
  int64_t rows_stored() const;

  // `data`: row_bytes() bytes of [layers, tokens, dim] in the store's dtype, aligned to elements.
  // Non-finite values are an Error that names row, layer, token and channel, and suggests bf16.
  // `thumbnail`: thumbnail_bytes() of them, RGB; null where the store has none.
  void write_row(int64_t row, const void* data, const Sha256Digest& image_digest,
                 const uint8_t* thumbnail = nullptr);
  // Its slot is filled with zeros.
  void write_bad_row(int64_t row, const Sha256Digest& image_digest);
  // The row will be computed again (its image changed since the interrupted run).
  void reset_row(int64_t row);

  // Statistics, footer, fdatasync, rename, fsync of the folder. Every row must be stored or bad,
  // and at least one stored.
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Bytes a shard of this manifest takes on disk, metadata included (an estimate within 1 % for files
// of a megabyte or more).
int64_t estimate_file_bytes(const Manifest& manifest);

}  // namespace last
