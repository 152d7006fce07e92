#include "extractor/pipeline/reuse.h"

#include "common/cli/log.h"
#include "common/error.h"

namespace last {
namespace {

std::string key_of(const Sha256Digest& digest, int32_t view, const std::string& id) {
  std::string key(digest.begin(), digest.end());
  key += std::to_string(view);
  if (view != 0) key += "/" + id;
  return key;
}

}  // namespace

ReusableRows::ReusableRows(const std::string& path, const Manifest& now, int64_t batch_size)
    : path_(path), store_(path) {
  const Manifest& old = store_.manifest();
  const std::string difference = row_difference(old, now, "in \"" + path + "\"", "now");
  if (!difference.empty()) {
    fail("--reuse: the rows of \"", path, "\" were made differently: ", difference,
         "; repeat its options, or leave --reuse away");
  }
  const std::string device = device_difference(old, now, "in \"" + path + "\"", "now");
  if (!device.empty()) {
    log_warning(concat("--reuse: ", device, ": copied rows may differ from computed ones in their ",
                       "last bits"));
  }
  const int64_t whole_batches = old.rows - old.rows % batch_size;
  for (const int64_t row : store_.stored_rows()) {
    if (row >= whole_batches) break;
    const auto index = static_cast<size_t>(row);
    rows_.emplace(key_of(store_.image_digest(row), old.views[index], old.sample_ids[index]), row);
  }
}

std::optional<int64_t> ReusableRows::find(const Sha256Digest& digest, int32_t view,
                                          const std::string& id) const {
  const auto found = rows_.find(key_of(digest, view, id));
  if (found == rows_.end()) return std::nullopt;
  return found->second;
}

}  // namespace last
