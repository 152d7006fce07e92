#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/feature_store/reader.h"
#include "trainer/data/targets.h"

namespace last {

// The stores that one of --train, --val, --test names, opened.
struct StoreGroup {
  std::string role;  // "train", "val", "test"
  std::vector<std::string> paths;
  std::vector<std::shared_ptr<const FeatureStoreReader>> readers;
  std::vector<StoreLabels> labels;  // of each reader
};

StoreGroup open_stores(const std::string& role, const std::vector<std::string>& paths);

// Refuses stores whose features were not made in the same way: names both files and the first
// difference.
void check_same_features(const std::vector<StoreGroup>& groups);

// Samples with their rows and labels, over one or more stores. A sample is an image; it has one
// row, or one per view. Bad images are left out. A cheap value: it shares the readers.
class Dataset {
 public:
  Dataset() = default;
  // `all_views`: keep augmented views (for training); otherwise only view 0.
  Dataset(const StoreGroup& group, const std::vector<Target>& targets, bool all_views);

  int64_t size() const { return static_cast<int64_t>(samples_.size()); }
  const std::vector<std::string>& ids() const { return ids_; }
  int64_t views(int64_t sample) const { return samples_[static_cast<size_t>(sample)].views; }
  // [samples] of one target, -1 = unlabelled.
  const std::vector<int32_t>& labels(int64_t target) const {
    return labels_[static_cast<size_t>(target)];
  }
  // Of the image file that a sample was made from.
  Sha256Digest image_digest(int64_t sample) const;
  int64_t targets() const { return static_cast<int64_t>(labels_.size()); }
  // Of the first store; layers, tokens and dim are the same in all of them.
  const Manifest& manifest() const { return readers_.front()->manifest(); }
  // All rows of all views.
  int64_t total_rows() const;

  // Some maps of the row of `view` of `sample`, as FeatureStoreReader::read_maps(). Thread-safe.
  void read(int64_t sample, int64_t view, std::span<const int64_t> maps, void* destination,
            std::vector<char>& buffer) const;
  // A hint that it will be read soon.
  void will_need(int64_t sample, int64_t view) const;

  // The same samples with their first view alone, as they are evaluated. That is view 0, but for a
  // lone shard that begins in the middle of an image.
  Dataset first_views() const;
  // The samples whose indices are given, in that order.
  Dataset subset(std::span<const int64_t> samples) const;
  // This data set's samples, then the other's (same targets).
  Dataset joined_with(const Dataset& other) const;

 private:
  struct Sample {
    int64_t store = 0;
    int64_t first_row = 0;  // index into rows_ of the store
    int64_t views = 1;
  };

  // The store that holds a row, and its number there.
  const FeatureStoreReader& place_of(int64_t sample, int64_t view, int64_t* row) const;

  std::vector<std::shared_ptr<const FeatureStoreReader>> readers_;
  std::vector<Sample> samples_;
  std::vector<int64_t> rows_;  // row numbers, views of a sample side by side
  std::vector<std::string> ids_;
  std::vector<std::vector<int32_t>> labels_;  // [targets][samples]
};

}  // namespace last
