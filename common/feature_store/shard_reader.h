#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/feature_store/footer.h"
#include "common/feature_store/hdf5_handles.h"
#include "common/feature_store/manifest.h"
#include "common/feature_store/row_table.h"
#include "common/feature_store/statistics.h"
#include "common/io/file.h"

namespace last {

// One finished file. Row indices are its own, from 0. Thread-safe after construction.
class ShardReader {
 public:
  // An Error where anything but rows is damaged, or rows are absent.
  explicit ShardReader(const std::string& path);
  ~ShardReader();

  const std::string& path() const { return path_; }
  const Manifest& manifest() const { return manifest_; }
  const RowTable& rows() const { return rows_; }
  const ChannelStatistics& statistics() const { return statistics_; }
  bool is_repacked() const { return repacked_ != nullptr; }

  // Into `destination`, row_bytes() of them; checks the CRC on the row's first read.
  void read_row(int64_t row, void* destination) const;
  // The row will be read soon for the first time: the disk reads it while checksums of others are
  // taken. Nothing where it was read before.
  void will_need(int64_t row) const;
  // Some of its maps, side by side; `maps` are indices into the stored layers, ascending. Only what
  // is asked for is read, except on the row's first read, for which all of it goes through
  // `buffer`.
  void read_maps(int64_t row, std::span<const int64_t> maps, void* destination,
                 std::vector<char>& buffer) const;

  // Into `destination`, thumbnail_bytes() of them; checks the CRC every time. An Error where the
  // store has none.
  void read_thumbnail(int64_t row, uint8_t* destination) const;

  // One line per damage: every row, and the bytes outside the rows.
  std::vector<std::string> verify(const std::function<void()>& on_row) const;

 private:
  struct Repacked;

  void open_without_footer();
  void open_with_footer(const Footer& footer);
  void read_metadata(hid_t file);
  void compare_first_row(hid_t file) const;
  void read_unchecked(int64_t row, void* destination) const;
  std::atomic<uint8_t>& checked(int64_t row) const { return checked_[static_cast<size_t>(row)]; }
  void read_thumbnail_unchecked(int64_t row, uint8_t* destination) const;
  // Empty where the bytes have the row's CRC.
  std::string damage(int64_t row, const void* data) const;
  std::string thumbnail_damage(int64_t row, const uint8_t* data) const;

  std::string path_;
  File file_;
  Manifest manifest_;
  RowTable rows_{0};
  ChannelStatistics statistics_;
  uint64_t features_offset_ = 0;
  uint64_t thumbnails_offset_ = 0;
  std::unique_ptr<Repacked> repacked_;  // set: rows come through HDF5
  mutable std::unique_ptr<std::atomic<uint8_t>[]> checked_;
};

}  // namespace last
