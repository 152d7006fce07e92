#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/feature_store/each_row.h"
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
  // without a stored row is replaced), and every row marked stored must match its check and CRCs;
  // those that don't are marked absent again. Rows marked bad are marked absent as well: the image
  // may have been mended. `progress` hears of the rows that are checked. PATH itself, shards of
  // another count beside it, and another writer of PATH are an Error.
  FeatureStoreWriter(const std::string& path, Manifest manifest, const RowProgress& progress = {});
  ~FeatureStoreWriter();  // leaves PATH.partial for a later resume unless finish() was called

  // As the file has it: config["run"] is that of the run which created it.
  const Manifest& manifest() const;
  bool resumed() const;
  RowState state(int64_t row) const;
  // Digest of the image file that a stored row was computed from.
  Sha256Digest image_digest(int64_t row) const;
  int64_t rows_stored() const;

  // `data`: row_bytes() bytes of [layers, tokens, dim] in the store's dtype, aligned to elements.
  // Non-finite values are an Error that names row, layer, token and channel, and suggests bf16.
  // `thumbnail`: thumbnail_bytes() of them, RGB; null where the store has none.
  void write_row(int64_t row, const void* data, const Sha256Digest& image_digest,
                 const uint8_t* thumbnail = nullptr);
  // Its slot is filled with zeros.
  void write_bad_row(int64_t row, const Sha256Digest& image_digest);
  // The row will be computed again (its image could not be read, and can be now).
  void reset_row(int64_t row);

  // An Error where PATH.partial was removed or renamed meanwhile: what is written now would be
  // lost.
  void require_present() const;

  // Statistics, footer, fdatasync, rename, fsync of the folder. Every row must be stored or bad,
  // and at least one stored. `progress` hears of the rows that are read again for the statistics,
  // those of earlier processes.
  void finish(const RowProgress& progress = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Bytes a shard of this manifest takes on disk, metadata included (an estimate within 1 % for files
// of a megabyte or more).
int64_t estimate_file_bytes(const Manifest& manifest);

}  // namespace last
