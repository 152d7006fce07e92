#include "common/feature_store/reader.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include <ATen/ops/empty.h>

#include "common/error.h"
#include "common/feature_store/shard_files.h"
#include "common/feature_store/shard_reader.h"

namespace last {
namespace {

using Shards = std::vector<std::unique_ptr<ShardReader>>;

void require_same(const ShardReader& first, const ShardReader& other, bool same,
                  const std::string& what) {
  if (!same) {
    fail("\"", other.path(), "\" does not belong to \"", first.path(), "\": ", what,
         "; extract both with the same options");
  }
}

// `other` is the shard that its name says, and of the same run as `first`.
void check_belongs(const ShardReader& first, const ShardReader& other, int64_t index,
                   int64_t count) {
  const Manifest& a = first.manifest();
  const Manifest& b = other.manifest();
  const std::string difference = row_difference(a, b, "in the first shard", "in this one");
  if (b.shard_index != index || b.shard_count != count) {
    fail("\"", other.path(), "\" is shard ", b.shard_index, " of ", b.shard_count,
         ", not the one that its name says; was it renamed?");
  }
  require_same(first, other, difference.empty(), difference);
  require_same(first, other, a.image_list_sha256 == b.image_list_sha256,
               "they come from different image lists");
  require_same(first, other, a.total_rows == b.total_rows,
               concat(a.total_rows, " rows in all, or ", b.total_rows));
  require_same(first, other, a.thumbnail_size == b.thumbnail_size,
               "only one of them has thumbnails, or in another size");
  require_same(first, other,
               std::ranges::equal(a.labels, b.labels,
                                  [](const LabelColumn& x, const LabelColumn& y) {
                                    return x.name == y.name && x.classes == y.classes;
                                  }),
               "other label columns or classes");
}

// Together the shards hold each row of the list once.
void check_coverage(const Shards& shards) {
  const int64_t total = shards[0]->manifest().total_rows;
  int64_t end = 0;
  std::string before = "the start of the list";
  const auto meet = [&](const std::string& next, int64_t begin) {
    if (begin == end) return;
    const bool missing = begin > end;
    fail("shards that don't fit together: of ", total, " rows, ", std::min(begin, end), " to ",
         std::max(begin, end) - 1, " lie in ", missing ? "no shard, between " : "two, ", before,
         " and ", next, "; extract all of them with the same list, --views and --batch-size");
  };
  for (const auto& shard : shards) {
    const std::string name = "\"" + shard->path() + "\"";
    meet(name, shard->manifest().first_row);
    end = shard->manifest().first_row + shard->manifest().rows;
    before = name;
  }
  meet("the end of the list", total);
}

template <class T>
void append(std::vector<T>& all, const std::vector<T>& part) {
  all.insert(all.end(), part.begin(), part.end());
}

Manifest join(const Shards& shards) {
  Manifest joined = shards[0]->manifest();
  if (shards.size() == 1) return joined;
  for (size_t i = 1; i < shards.size(); ++i) {
    const Manifest& part = shards[i]->manifest();
    joined.rows += part.rows;
    append(joined.sample_ids, part.sample_ids);
    append(joined.views, part.views);
    for (size_t c = 0; c < joined.labels.size(); ++c) {
      append(joined.labels[c].labels, part.labels[c].labels);
    }
  }
  joined.shard_index = 0;
  joined.total_rows = joined.rows;
  joined.shard_count = static_cast<int64_t>(shards.size());
  return joined;
}

}  // namespace

struct FeatureStoreReader::Impl {
  explicit Impl(const std::string& path) : files(resolve_store(path)) {
    for (const std::string& file : files) {
      shards.push_back(std::make_unique<ShardReader>(file));
      const ShardReader& shard = *shards.back();
      if (files.size() > 1) {
        check_belongs(*shards[0], shard, static_cast<int64_t>(shards.size()) - 1,
                      static_cast<int64_t>(files.size()));
      } else if (shard.manifest().shard_count > 1) {
        warnings.push_back(concat("\"", file, "\" is shard ", shard.manifest().shard_index, " of ",
                                  shard.manifest().shard_count, ": only its rows are read"));
      }
      if (shard.is_repacked()) {
        warnings.push_back(concat("\"", file,
                                  "\" was repacked by another program: it is read "
                                  "through HDF5, slowly, and only its rows carry checksums"));
      }
      append_rows(shard);
    }
    if (files.size() > 1) check_coverage(shards);
    manifest = join(shards);
  }

  void append_rows(const ShardReader& shard) {
    const int64_t begin = first_rows.back();
    for (int64_t row = 0; row < shard.manifest().rows; ++row) {
      if (shard.rows().states[static_cast<size_t>(row)] ==
          static_cast<uint8_t>(RowState::kStored)) {
        stored_rows.push_back(begin + row);
      }
    }
    first_rows.push_back(begin + shard.manifest().rows);
  }

  struct Place {
    const ShardReader& shard;
    int64_t row;
    RowState state() const {
      return static_cast<RowState>(shard.rows().states[static_cast<size_t>(row)]);
    }
  };

  Place place_of(int64_t row) const {
    if (row < 0 || row >= first_rows.back()) {
      fail("\"", files[0], "\" has no row ", row, ": rows are 0 to ", first_rows.back() - 1);
    }
    const auto next = std::ranges::upper_bound(first_rows, row);
    const auto shard = static_cast<size_t>(next - first_rows.begin() - 1);
    return {*shards[shard], row - first_rows[shard]};
  }

  Place place_of_features(int64_t row) const {
    const Place place = place_of(row);
    if (place.state() != RowState::kStored) {
      fail("\"", place.shard.path(), "\": row ", place.row, " (\"",
           place.shard.manifest().sample_ids[static_cast<size_t>(place.row)],
           "\") is a bad image and has no features");
    }
    return place;
  }

  std::vector<std::string> files;
  Shards shards;
  std::vector<int64_t> first_rows = {0};  // of each shard, then the number of rows
  Manifest manifest;
  std::vector<int64_t> stored_rows;
  std::vector<std::string> warnings;
};

FeatureStoreReader::FeatureStoreReader(const std::string& path)
    : impl_(std::make_unique<Impl>(path)) {}

FeatureStoreReader::~FeatureStoreReader() = default;

const Manifest& FeatureStoreReader::manifest() const { return impl_->manifest; }
const std::vector<std::string>& FeatureStoreReader::shard_files() const { return impl_->files; }
const std::vector<int64_t>& FeatureStoreReader::stored_rows() const { return impl_->stored_rows; }
const std::vector<std::string>& FeatureStoreReader::warnings() const { return impl_->warnings; }

RowState FeatureStoreReader::state(int64_t row) const { return impl_->place_of(row).state(); }

Sha256Digest FeatureStoreReader::image_digest(int64_t row) const {
  const auto place = impl_->place_of(row);
  return place.shard.rows().digests[static_cast<size_t>(place.row)];
}

StoreStatistics FeatureStoreReader::statistics() const {
  const Manifest& manifest = impl_->manifest;
  const auto channels = static_cast<size_t>(manifest.layers() * manifest.backbone.dim);
  std::vector<double> weights;  // share of the stored rows
  for (const auto& shard : impl_->shards) {
    const auto stored =
        std::ranges::count(shard->rows().states, static_cast<uint8_t>(RowState::kStored));
    weights.push_back(static_cast<double>(stored) / static_cast<double>(impl_->stored_rows.size()));
  }
  StoreStatistics joined{at::empty({manifest.layers(), manifest.backbone.dim}),
                         at::empty({manifest.layers(), manifest.backbone.dim})};
  float* mean = joined.mean.data_ptr<float>();
  float* std = joined.std.data_ptr<float>();
  for (size_t c = 0; c < channels; ++c) {
    double center = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      center += weights[i] * impl_->shards[i]->statistics().mean[c];
    }
    double variance = 0;  // within the shards, and between them
    for (size_t i = 0; i < weights.size(); ++i) {
      const double deviation = impl_->shards[i]->statistics().std[c];
      const double distance = impl_->shards[i]->statistics().mean[c] - center;
      variance += weights[i] * (deviation * deviation + distance * distance);
    }
    mean[c] = static_cast<float>(center);
    std[c] = static_cast<float>(std::sqrt(variance));
  }
  return joined;
}

std::string FeatureStoreReader::content_sha256() const {
  Sha256 hash;
  const auto add_number = [&](auto number) {
    const auto value = static_cast<uint64_t>(number);
    hash.update(&value, sizeof value);
  };
  const auto add_text = [&](const std::string& text) {
    add_number(text.size());  // so that "ab", "c" is not "a", "bc"
    hash.update(text.data(), text.size());
  };
  const auto add_rows = [&](auto member) {
    for (const auto& shard : impl_->shards) {
      const auto& values = shard->rows().*member;
      hash.update(values.data(), values.size() * sizeof values[0]);
    }
  };
  add_number(impl_->manifest.rows);
  add_rows(&RowTable::states);
  add_rows(&RowTable::digests);
  add_rows(&RowTable::crcs);
  add_number(impl_->manifest.labels.size());
  for (const LabelColumn& column : impl_->manifest.labels) {
    add_text(column.name);
    add_number(column.classes.size());
    for (const std::string& name : column.classes) add_text(name);
    hash.update(column.labels.data(), column.labels.size() * sizeof(int32_t));
  }
  return to_hex(hash.finish());
}

void FeatureStoreReader::read_rows(std::span<const int64_t> rows, void* destination) const {
  auto* bytes = static_cast<char*>(destination);
  for (const int64_t row : rows) {
    const auto place = impl_->place_of_features(row);
    place.shard.read_row(place.row, bytes);
    bytes += impl_->manifest.row_bytes();
  }
}

void FeatureStoreReader::read_maps(int64_t row, std::span<const int64_t> maps, void* destination,
                                   std::vector<char>& buffer) const {
  const auto place = impl_->place_of_features(row);
  place.shard.read_maps(place.row, maps, destination, buffer);
}

void FeatureStoreReader::will_need(int64_t row) const {
  const auto place = impl_->place_of_features(row);
  place.shard.will_need(place.row);
}

at::Tensor FeatureStoreReader::read_row(int64_t row) const {
  const BackboneInfo& backbone = impl_->manifest.backbone;
  at::Tensor maps =
      at::empty({impl_->manifest.layers(), backbone.tokens, backbone.dim}, impl_->manifest.dtype);
  read_rows({&row, 1}, maps.data_ptr());
  return maps;
}

at::Tensor FeatureStoreReader::thumbnail(int64_t row) const {
  const auto place = impl_->place_of(row);
  const int64_t size = impl_->manifest.thumbnail_size;
  at::Tensor picture = at::empty({size, size, 3}, c10::ScalarType::Byte);
  place.shard.read_thumbnail(place.row, picture.data_ptr<uint8_t>());
  return picture;
}

std::vector<std::string> verify_feature_store(const std::string& path,
                                              const std::function<void(int64_t)>& on_row) {
  std::vector<std::string> lines;
  int64_t rows = 0;
  for (const std::string& file : resolve_store(path)) {
    try {
      append(lines, ShardReader(file).verify([&] {
        if (on_row) on_row(++rows);
      }));
    } catch (const Interrupted&) {
      throw;  // by on_row: no damage
    } catch (const Error& error) {
      lines.push_back(error.what());
    }
  }
  if (!lines.empty()) return lines;
  try {
    FeatureStoreReader whole(path);  // shards that are sound one by one may not belong together
  } catch (const Error& error) {
    lines.push_back(error.what());
  }
  return lines;
}

bool feature_store_exists(const std::string& path) {
  if (std::filesystem::exists(path)) return true;
  return std::ranges::any_of(find_shards(path), [](const ShardFile& s) { return !s.partial; });
}

}  // namespace last
