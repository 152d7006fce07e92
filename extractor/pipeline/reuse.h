#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "common/feature_store/reader.h"
#include "common/io/checksum.h"

namespace last {

// Rows of an earlier store that may stand in for rows of a new one: those of the same image bytes
// in the same view. Rows of its last batch don't count where that is incomplete: a product over
// fewer rows may have been computed in another order. Thread-safe after construction.
class ReusableRows {
 public:
  // An Error names the first difference where features of the store that `now` describes would not
  // be computed in the same way, and what is damaged.
  ReusableRows(const std::string& path, const Manifest& now, int64_t batch_size);

  const std::string& path() const { return path_; }

  // The row that shows view `view` of an image with these bytes. `id` counts for views other than
  // the plain one, which are drawn by it.
  std::optional<int64_t> find(const Sha256Digest& digest, int32_t view,
                              const std::string& id) const;
  // row_bytes() of them; a damaged row is an Error.
  void read(int64_t row, void* destination) const { store_.read_rows({&row, 1}, destination); }

 private:
  std::string path_;
  FeatureStoreReader store_;
  std::unordered_map<std::string, int64_t> rows_;
};

}  // namespace last
