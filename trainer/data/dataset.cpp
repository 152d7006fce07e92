#include "trainer/data/dataset.h"

#include <unordered_map>
#include <utility>

#include "common/error.h"

namespace last {

StoreGroup open_stores(const std::string& role, const std::vector<std::string>& paths) {
  StoreGroup group{role, paths, {}, {}};
  for (const auto& path : paths) {
    group.readers.push_back(std::make_shared<const FeatureStoreReader>(path));
    group.labels.push_back({path, group.readers.back()->manifest().labels});
  }
  return group;
}

void check_same_features(const std::vector<StoreGroup>& groups) {
  const FeatureStoreReader* first = nullptr;
  std::string first_path;
  for (const auto& group : groups) {
    for (size_t i = 0; i < group.readers.size(); ++i) {
      const auto& reader = *group.readers[i];
      if (first == nullptr) {
        first = &reader;
        first_path = group.paths[i];
        continue;
      }
      const std::string difference =
          feature_difference(first->manifest(), reader.manifest(), "in the first", "in the second");
      if (!difference.empty()) {
        fail("\"", first_path, "\" and \"", group.paths[i], "\" (--", group.role,
             ") hold different features: ", difference, "; extract both in the same way");
      }
    }
  }
}

Dataset::Dataset(const StoreGroup& group, const std::vector<Target>& targets, bool all_views)
    : readers_(group.readers), labels_(targets.size()) {
  for (size_t store = 0; store < readers_.size(); ++store) {
    const auto& reader = *readers_[store];
    const auto& manifest = reader.manifest();
    std::vector<std::vector<int32_t>> labels;
    labels.reserve(targets.size());
    for (const auto& target : targets) {
      labels.push_back(target_labels(target, group.labels[store]));
    }

    std::unordered_map<std::string, std::vector<int64_t>> rows_of;  // by sample id
    std::vector<int64_t> first_rows;
    for (const int64_t row : reader.stored_rows()) {
      const auto index = static_cast<size_t>(row);
      if (!all_views && manifest.views[index] != 0) continue;
      auto& rows = rows_of[manifest.sample_ids[index]];
      if (rows.empty()) first_rows.push_back(row);
      rows.push_back(row);
    }
    for (const int64_t row : first_rows) {
      const auto index = static_cast<size_t>(row);
      const auto& id = manifest.sample_ids[index];
      const auto& rows = rows_of[id];
      samples_.push_back({static_cast<int64_t>(store), static_cast<int64_t>(rows_.size()),
                          static_cast<int64_t>(rows.size())});
      rows_.insert(rows_.end(), rows.begin(), rows.end());
      ids_.push_back(id);
      for (size_t t = 0; t < targets.size(); ++t) labels_[t].push_back(labels[t][index]);
    }
  }
}

int64_t Dataset::total_rows() const {
  int64_t total = 0;
  for (const auto& sample : samples_) total += sample.views;
  return total;
}

const FeatureStoreReader& Dataset::place_of(int64_t sample, int64_t view, int64_t* row) const {
  const auto& entry = samples_[static_cast<size_t>(sample)];
  *row = rows_[static_cast<size_t>(entry.first_row + view)];
  return *readers_[static_cast<size_t>(entry.store)];
}

Sha256Digest Dataset::image_digest(int64_t sample) const {
  int64_t row = 0;
  const auto& reader = place_of(sample, 0, &row);
  return reader.image_digest(row);
}

void Dataset::read(int64_t sample, int64_t view, std::span<const int64_t> maps, void* destination,
                   std::vector<char>& buffer) const {
  int64_t row = 0;
  const auto& reader = place_of(sample, view, &row);
  reader.read_maps(row, maps, destination, buffer);
}

void Dataset::will_need(int64_t sample, int64_t view) const {
  int64_t row = 0;
  const auto& reader = place_of(sample, view, &row);
  reader.will_need(row);
}

Dataset Dataset::first_views() const {
  Dataset plain = *this;
  for (auto& sample : plain.samples_) sample.views = 1;
  return plain;
}

Dataset Dataset::subset(std::span<const int64_t> samples) const {
  Dataset part;
  part.readers_ = readers_;
  part.rows_ = rows_;
  part.labels_.resize(labels_.size());
  for (const int64_t sample : samples) {
    const auto index = static_cast<size_t>(sample);
    part.samples_.push_back(samples_[index]);
    part.ids_.push_back(ids_[index]);
    for (size_t t = 0; t < labels_.size(); ++t) part.labels_[t].push_back(labels_[t][index]);
  }
  return part;
}

Dataset Dataset::joined_with(const Dataset& other) const {
  Dataset all = *this;
  const auto stores = static_cast<int64_t>(readers_.size());
  const auto rows = static_cast<int64_t>(rows_.size());
  all.readers_.insert(all.readers_.end(), other.readers_.begin(), other.readers_.end());
  all.rows_.insert(all.rows_.end(), other.rows_.begin(), other.rows_.end());
  for (auto sample : other.samples_) {
    sample.store += stores;
    sample.first_row += rows;
    all.samples_.push_back(sample);
  }
  all.ids_.insert(all.ids_.end(), other.ids_.begin(), other.ids_.end());
  for (size_t t = 0; t < labels_.size(); ++t) {
    all.labels_[t].insert(all.labels_[t].end(), other.labels_[t].begin(), other.labels_[t].end());
  }
  return all;
}

}  // namespace last
