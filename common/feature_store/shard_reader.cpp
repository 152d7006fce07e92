#include "common/feature_store/shard_reader.h"

#include <algorithm>
#include <cstring>

#include "common/error.h"
#include "common/feature_store/hdf5_objects.h"
#include "common/feature_store/hex.h"
#include "common/feature_store/layout.h"
#include "common/feature_store/metadata.h"

namespace last {
namespace {

constexpr char kRemedy[] = "restore it from a copy, or delete it and extract it again";

}  // namespace

struct ShardReader::Repacked {
  hdf5::FileHandle file;
  hdf5::Dataset features;
  hdf5::Dataset thumbnails;  // where there are any
};

ShardReader::ShardReader(const std::string& path) : path_(path), file_(File::open_read(path)) {
  if (const auto footer = read_footer(file_)) {
    open_with_footer(*footer);
  } else {
    open_without_footer();
  }
  checked_ = std::make_unique<std::atomic<uint8_t>[]>(static_cast<size_t>(manifest_.rows));
}

ShardReader::~ShardReader() {
  const hdf5::Session session;
  repacked_.reset();
}

void ShardReader::open_with_footer(const Footer& footer) {
  if (footer.kind != FooterKind::kFinal) {
    fail("\"", path_,
         "\" is unfinished: rename it to end in .partial, then run the same extractor "
         "command again to resume");
  }
  check_content(file_, footer);
  const hdf5::Session session;
  const hdf5::FileHandle file = hdf5::open_file_read_only(path_);
  read_metadata(file.get());
  const StoreExtents extents = read_extents(file.get(), manifest_);
  if (footer.excluded != extents.rows()) {
    fail("\"", path_, "\" is damaged: its rows lie elsewhere than its footer says; ", kRemedy);
  }
  features_offset_ = extents.features.offset;
  thumbnails_offset_ = extents.thumbnails.offset;
  compare_first_row(file.get());
}

void ShardReader::open_without_footer() {
  const hdf5::Session session;
  auto repacked = std::make_unique<Repacked>();
  try {
    repacked->file = hdf5::open_file_read_only(path_);
  } catch (const Error& error) {
    fail("\"", path_,
         "\" is damaged, cut off, or no feature store: it does not end in a store's "
         "footer, and ",
         error.what(), "; ", kRemedy);
  }
  const hid_t file = repacked->file.get();
  read_metadata(file);
  if (!last::is_repacked(file)) {
    fail("\"", path_,
         "\" is damaged: its footer is missing (the file was cut off, or another "
         "program wrote to it); ",
         kRemedy);
  }
  repacked->features = hdf5::open_dataset(file, layout::kFeatures);
  if (manifest_.thumbnail_size > 0) {
    repacked->thumbnails = hdf5::open_dataset(file, layout::kThumbnails);
  }
  repacked_ = std::move(repacked);
}

void ShardReader::read_metadata(hid_t file) {
  manifest_ = read_manifest(file);
  rows_ = RowTable(manifest_.rows);
  const auto rows = static_cast<hsize_t>(manifest_.rows);
  const hdf5::Shape channels = {static_cast<hsize_t>(manifest_.layers()),
                                static_cast<hsize_t>(manifest_.backbone.dim)};
  statistics_.mean.resize(channels[0] * channels[1]);
  statistics_.std.resize(channels[0] * channels[1]);
  hdf5::read_array(file, layout::kRowState, H5T_STD_U8LE, {rows}, rows_.states.data());
  hdf5::read_array(file, layout::kRowCrc, H5T_STD_U32LE, {rows}, rows_.crcs.data());
  hdf5::read_array(file, layout::kImageDigest, H5T_STD_U8LE, {rows, layout::kDigestBytes},
                   rows_.digests.data());
  if (manifest_.thumbnail_size > 0) {
    hdf5::read_array(file, layout::kThumbnailCrc, H5T_STD_U32LE, {rows},
                     rows_.thumbnail_crcs.data());
  }
  hdf5::read_array(file, layout::kMean, H5T_IEEE_F32LE, channels, statistics_.mean.data());
  hdf5::read_array(file, layout::kStd, H5T_IEEE_F32LE, channels, statistics_.std.data());
  for (size_t row = 0; row < rows_.states.size(); ++row) {
    const uint8_t state = rows_.states[row];
    if (state == static_cast<uint8_t>(RowState::kStored)) continue;
    if (state == static_cast<uint8_t>(RowState::kBadImage)) continue;
    fail("\"", path_, "\" is incomplete: row ", row, " (\"", manifest_.sample_ids[row],
         "\") has state ", int{state}, ", expected 1 (stored) or 2 (bad image)");
  }
}

// Proof that offset, order of dimensions and type mean the same to HDF5 and to us.
void ShardReader::compare_first_row(hid_t file) const {
  const auto first = std::ranges::find(rows_.states, static_cast<uint8_t>(RowState::kStored)) -
                     rows_.states.begin();
  if (first == manifest_.rows) return;
  const auto bytes = static_cast<size_t>(manifest_.row_bytes());
  std::vector<char> through_hdf5(bytes);
  std::vector<char> direct(bytes);
  hdf5::read_first_dimension(hdf5::open_dataset(file, layout::kFeatures),
                             static_cast<hsize_t>(first), through_hdf5.data());
  read_unchecked(first, direct.data());
  if (through_hdf5 != direct) {
    fail("\"", path_, "\": row ", first, " read at its offset differs from HDF5's reading of it");
  }
}

void ShardReader::read_unchecked(int64_t row, void* destination) const {
  if (repacked_) {
    const hdf5::Session session;
    hdf5::read_first_dimension(repacked_->features, static_cast<hsize_t>(row), destination);
    return;
  }
  const auto bytes = static_cast<uint64_t>(manifest_.row_bytes());
  file_.read_at(destination, bytes, features_offset_ + static_cast<uint64_t>(row) * bytes);
}

void ShardReader::read_thumbnail_unchecked(int64_t row, uint8_t* destination) const {
  if (repacked_) {
    const hdf5::Session session;
    hdf5::read_first_dimension(repacked_->thumbnails, static_cast<hsize_t>(row), destination);
    return;
  }
  const auto bytes = static_cast<uint64_t>(manifest_.thumbnail_bytes());
  file_.read_at(destination, bytes, thumbnails_offset_ + static_cast<uint64_t>(row) * bytes);
}

std::string ShardReader::damage(int64_t row, const void* data) const {
  const uint32_t expected = rows_.crcs[static_cast<size_t>(row)];
  const uint32_t found = crc32c(data, static_cast<size_t>(manifest_.row_bytes()));
  if (found == expected) return "";
  return concat("\"", path_, "\": row ", row, " (\"",
                manifest_.sample_ids[static_cast<size_t>(row)], "\") is damaged: CRC-32C ",
                hex(expected), " expected, ", hex(found), " found");
}

std::string ShardReader::thumbnail_damage(int64_t row, const uint8_t* data) const {
  const uint32_t expected = rows_.thumbnail_crcs[static_cast<size_t>(row)];
  const uint32_t found = crc32c(data, static_cast<size_t>(manifest_.thumbnail_bytes()));
  if (found == expected) return "";
  return concat("\"", path_, "\": the thumbnail of row ", row, " (\"",
                manifest_.sample_ids[static_cast<size_t>(row)], "\") is damaged: CRC-32C ",
                hex(expected), " expected, ", hex(found), " found");
}

void ShardReader::read_row(int64_t row, void* destination) const {
  read_unchecked(row, destination);
  // Two threads may both check a row: harmless.
  if (checked(row).load(std::memory_order_relaxed) != 0) return;
  if (const std::string what = damage(row, destination); !what.empty()) fail(what, "; ", kRemedy);
  checked(row).store(1, std::memory_order_relaxed);
}

void ShardReader::will_need(int64_t row) const {
  if (repacked_ || checked(row).load(std::memory_order_relaxed) != 0) return;
  const auto bytes = static_cast<uint64_t>(manifest_.row_bytes());
  file_.will_need(features_offset_ + static_cast<uint64_t>(row) * bytes, bytes);
}

void ShardReader::read_maps(int64_t row, std::span<const int64_t> maps, void* destination,
                            std::vector<char>& buffer) const {
  const auto count = static_cast<size_t>(manifest_.layers());
  if (maps.size() == count) return read_row(row, destination);
  const auto row_bytes = static_cast<uint64_t>(manifest_.row_bytes());
  const uint64_t map_bytes = row_bytes / count;
  const bool whole = repacked_ || checked(row).load(std::memory_order_relaxed) == 0;
  if (whole) {
    buffer.resize(row_bytes);
    read_row(row, buffer.data());
  }
  auto* bytes = static_cast<char*>(destination);
  for (size_t begin = 0, end = 0; begin < maps.size(); begin = end) {
    while (end < maps.size() && maps[end] - maps[begin] == static_cast<int64_t>(end - begin)) ++end;
    const uint64_t offset = static_cast<uint64_t>(maps[begin]) * map_bytes;
    const uint64_t size = (end - begin) * map_bytes;
    if (whole) {
      std::memcpy(bytes, buffer.data() + offset, size);
    } else {
      file_.read_at(bytes, size,
                    features_offset_ + static_cast<uint64_t>(row) * row_bytes + offset);
    }
    bytes += size;
  }
}

void ShardReader::read_thumbnail(int64_t row, uint8_t* destination) const {
  if (manifest_.thumbnail_size == 0) {
    fail("\"", path_, "\" has no thumbnails: extract with --thumbnails");
  }
  read_thumbnail_unchecked(row, destination);
  const std::string what = thumbnail_damage(row, destination);
  if (!what.empty()) fail(what, "; ", kRemedy);
}

std::vector<std::string> ShardReader::verify(const std::function<void()>& on_row) const {
  std::vector<std::string> lines;
  if (!repacked_) {
    try {
      const auto footer = read_footer(file_);
      if (!footer) fail("\"", path_, "\" is damaged: its footer is missing");
      check_content(file_, *footer);
    } catch (const Error& error) {
      lines.push_back(error.what());
    }
  }
  std::vector<char> data(static_cast<size_t>(manifest_.row_bytes()));
  std::vector<uint8_t> picture(static_cast<size_t>(manifest_.thumbnail_bytes()));
  for (int64_t row = 0; row < manifest_.rows; ++row) {
    try {
      read_unchecked(row, data.data());
      if (std::string what = damage(row, data.data()); !what.empty()) lines.push_back(what);
      if (!picture.empty()) {
        read_thumbnail_unchecked(row, picture.data());
        if (std::string what = thumbnail_damage(row, picture.data()); !what.empty()) {
          lines.push_back(what);
        }
      }
    } catch (const Error& error) {
      lines.push_back(concat("\"", path_, "\": row ", row, ": ", error.what()));
    }
    if (on_row) on_row();
  }
  return lines;
}

}  // namespace last
