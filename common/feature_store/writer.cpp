#include "common/feature_store/writer.h"

#include <algorithm>
#include <atomic>
#include <span>
#include <utility>
#include <vector>

#include "common/error.h"
#include "common/feature_store/finite.h"
#include "common/feature_store/metadata.h"
#include "common/feature_store/partial_file.h"
#include "common/feature_store/row_table.h"
#include "common/feature_store/statistics.h"
#include "common/io/file.h"

namespace last {
namespace {

constexpr uint8_t to_byte(RowState state) { return static_cast<uint8_t>(state); }

void fill_zeros(const File& file, uint64_t offset, uint64_t size) {
  static const std::vector<char> zeros(size_t{1} << 20);
  for (uint64_t done = 0; done < size;) {
    const size_t part = static_cast<size_t>(std::min<uint64_t>(zeros.size(), size - done));
    file.write_at(zeros.data(), part, offset + done);
    done += part;
  }
}

uint32_t crc_of_zeros(uint64_t size) {
  const std::vector<char> zeros(size);
  return crc32c(zeros.data(), zeros.size());
}

}  // namespace

struct FeatureStoreWriter::Impl {
  Impl(std::string final_path, Manifest wanted, const RowProgress& progress)
      : path((check_manifest(wanted, "\"" + final_path + "\""), std::move(final_path))),
        lock(path + ".lock"),
        partial(open_partial(path, std::move(wanted), progress)),
        states(std::make_unique<std::atomic<uint8_t>[]>(static_cast<size_t>(manifest().rows))),
        rows(std::move(partial.rows)),
        row_bytes(static_cast<uint64_t>(manifest().row_bytes())),
        statistics(manifest(), manifest().rows) {
    for (int64_t row = 0; row < manifest().rows; ++row) {
      states[row] = rows.states[static_cast<size_t>(row)];
      if (state(row) == RowState::kStored) ++stored;
    }
  }

  const Manifest& manifest() const { return partial.manifest; }
  RowState state(int64_t row) const { return static_cast<RowState>(states[row].load()); }
  uint64_t offset_of(int64_t row) const {
    return partial.extents.features.offset + static_cast<uint64_t>(row) * row_bytes;
  }

  void require_open(int64_t row) const {
    if (!partial.file.is_open()) fail("\"", path, "\" is finished, and takes no more rows");
    if (row < 0 || row >= manifest().rows) {
      fail("\"", path, "\" has no row ", row, ": its rows are 0 to ", manifest().rows - 1);
    }
  }

  // The system itself would begin half a minute later: finish() has less to wait for. A piece is
  // sent on its way with the row that reaches its end: rows come in nearly ascending order, and
  // what they share of a page should go to the disk once.
  void start_writing(int64_t row) const {
    constexpr uint64_t kPiece = uint64_t{8} << 20;
    const uint64_t begin = offset_of(row) / kPiece * kPiece;
    const uint64_t end = (offset_of(row) + row_bytes) / kPiece * kPiece;
    if (begin < end) partial.file.start_writing(begin, end - begin);
  }

  void set_state(int64_t row, RowState next) {
    const uint8_t byte = to_byte(next);
    if (state(row) == next) return;
    partial.file.write_at(&byte, 1, partial.extents.row_state.offset + static_cast<uint64_t>(row));
    if (state(row) == RowState::kStored) --stored;
    if (next == RowState::kStored) ++stored;
    states[row] = byte;
  }

  // Null: black, that of a bad image.
  void write_thumbnail(int64_t row, const uint8_t* thumbnail) {
    const auto bytes = static_cast<uint64_t>(manifest().thumbnail_bytes());
    if (bytes == 0) return;
    const std::vector<uint8_t> black(thumbnail == nullptr ? bytes : 0);
    const uint8_t* data = thumbnail == nullptr ? black.data() : thumbnail;
    const uint32_t crc = crc32c(data, bytes);
    const auto index = static_cast<uint64_t>(row);
    partial.file.write_at(data, bytes, partial.extents.thumbnails.offset + index * bytes);
    partial.file.write_at(&crc, sizeof crc,
                          partial.extents.thumbnail_crc32c.offset + index * sizeof crc);
    rows.thumbnail_crcs[index] = crc;
  }

  // And the check of all that the row will be in `state`.
  void write_digest_and_crc(int64_t row, const Sha256Digest& digest, uint32_t crc, RowState next) {
    const auto index = static_cast<uint64_t>(row);
    partial.file.write_at(digest.data(), digest.size(),
                          partial.extents.image_digest.offset + index * digest.size());
    partial.file.write_at(&crc, sizeof crc, partial.extents.row_crc32c.offset + index * sizeof crc);
    rows.digests[index] = digest;
    rows.crcs[index] = crc;
    const uint32_t check = rows.check_of(index, next);
    partial.file.write_at(&check, sizeof check,
                          partial.extents.row_check.offset + index * sizeof check);
  }

  void require_finite(int64_t row, int64_t index, const char* map) const {
    const Manifest& m = manifest();
    const int64_t dim = m.backbone.dim;
    const auto found = first_non_finite(map, m.backbone.tokens * dim, m.dtype);
    if (!found) return;
    fail("row ", row, " (\"", m.sample_ids[static_cast<size_t>(row)], "\"), layer ",
         m.backbone.layers[static_cast<size_t>(index)], ", token ", *found / dim, ", channel ",
         *found % dim, ": not a finite ", dtype_name(m.dtype), " number; ",
         m.dtype == c10::ScalarType::Half
             ? "fp16 ends at 65504, try --store bf16"
             : "the backbone itself overflows: try --precision fp32 with --store bf16 or fp32, and "
               "check the weights");
  }

  // What every value of a row is read for: map by map, while each is in the processor's cache.
  struct Inspection {
    uint32_t crc = 0;
    RowMoments moments;
  };
  Inspection inspect(int64_t row, const char* data) const {
    Inspection result{0, RowMoments(manifest())};
    const uint64_t map_bytes = row_bytes / static_cast<uint64_t>(manifest().layers());
    for (int64_t index = 0; index < manifest().layers(); ++index) {
      const char* map = data + static_cast<uint64_t>(index) * map_bytes;
      require_finite(row, index, map);
      result.crc = crc32c(map, map_bytes, result.crc);
      result.moments.take(index, map);
    }
    return result;
  }

  // Rows of an earlier process are not in the sum, and rows that were written twice spoil it.
  ChannelStatistics finished_statistics(std::span<const int64_t> stored_rows,
                                        const RowProgress& progress) const {
    if (statistics.complete()) return statistics.result();
    return compute_statistics(partial.file, manifest(), partial.extents.features.offset,
                              stored_rows, progress);
  }

  std::vector<int64_t> require_complete() const {
    std::vector<int64_t> stored_rows;
    int64_t absent = 0;
    for (int64_t row = 0; row < manifest().rows; ++row) {
      if (state(row) == RowState::kStored) stored_rows.push_back(row);
      if (state(row) == RowState::kAbsent) ++absent;
    }
    if (absent > 0) fail("\"", path, "\" still lacks ", absent, " of ", manifest().rows, " rows");
    if (stored_rows.empty()) {
      fail("\"", path, "\": not one of ", manifest().rows,
           " images was readable; see the list of bad images");
    }
    return stored_rows;
  }

  std::string path;
  FileLock lock;
  PartialFile partial;
  std::unique_ptr<std::atomic<uint8_t>[]> states;
  RowTable rows;
  uint64_t row_bytes;
  StatisticsSum statistics;
  std::atomic<int64_t> stored{0};
};

FeatureStoreWriter::FeatureStoreWriter(const std::string& path, Manifest manifest,
                                       const RowProgress& progress)
    : impl_(std::make_unique<Impl>(path, std::move(manifest), progress)) {}

FeatureStoreWriter::~FeatureStoreWriter() = default;

const Manifest& FeatureStoreWriter::manifest() const { return impl_->manifest(); }
bool FeatureStoreWriter::resumed() const { return impl_->partial.resumed; }
int64_t FeatureStoreWriter::rows_stored() const { return impl_->stored; }
RowState FeatureStoreWriter::state(int64_t row) const { return impl_->state(row); }

Sha256Digest FeatureStoreWriter::image_digest(int64_t row) const {
  return impl_->rows.digests[static_cast<size_t>(row)];
}

void FeatureStoreWriter::write_row(int64_t row, const void* data, const Sha256Digest& digest,
                                   const uint8_t* thumbnail) {
  Impl& impl = *impl_;
  impl.require_open(row);
  if ((thumbnail != nullptr) != (impl.manifest().thumbnail_size > 0)) {
    fail("row ", row, " of \"", impl.path,
         "\": a thumbnail where the store has none, or none "
         "where it has them");
  }
  Impl::Inspection inspection = impl.inspect(row, static_cast<const char*>(data));
  impl.set_state(row, RowState::kAbsent);
  impl.partial.file.write_at(data, impl.row_bytes, impl.offset_of(row));
  impl.start_writing(row);
  impl.write_thumbnail(row, thumbnail);
  impl.write_digest_and_crc(row, digest, inspection.crc, RowState::kStored);
  impl.statistics.add(row, std::move(inspection.moments));
  impl.set_state(row, RowState::kStored);
}

void FeatureStoreWriter::write_bad_row(int64_t row, const Sha256Digest& digest) {
  Impl& impl = *impl_;
  impl.require_open(row);
  impl.set_state(row, RowState::kAbsent);
  fill_zeros(impl.partial.file, impl.offset_of(row), impl.row_bytes);
  impl.write_thumbnail(row, nullptr);
  impl.write_digest_and_crc(row, digest, crc_of_zeros(impl.row_bytes), RowState::kBadImage);
  impl.statistics.leave_out(row);
  impl.set_state(row, RowState::kBadImage);
}

void FeatureStoreWriter::reset_row(int64_t row) {
  impl_->require_open(row);
  impl_->set_state(row, RowState::kAbsent);
}

void FeatureStoreWriter::require_present() const {
  const File& file = impl_->partial.file;
  if (file.is_at_its_path()) return;
  fail(
      "\"", file.path(),
      "\" is gone: it was removed or renamed while rows were written; put it back, or run the same "
      "command again to begin anew");
}

void FeatureStoreWriter::finish(const RowProgress& progress) {
  Impl& impl = *impl_;
  impl.require_open(0);
  require_present();
  const std::vector<int64_t> stored_rows = impl.require_complete();
  File& file = impl.partial.file;
  const StoreExtents& extents = impl.partial.extents;
  const ChannelStatistics statistics = impl.finished_statistics(stored_rows, progress);
  file.write_at(statistics.mean.data(), extents.mean.size, extents.mean.offset);
  file.write_at(statistics.std.data(), extents.std.size, extents.std.offset);
  // The footer may reach the disk only after all that it vouches for.
  file.sync();
  write_footer(file, FooterKind::kFinal, impl.partial.hdf5_size, extents.rows());
  file.sync();
  file.close();
  publish_file(partial_path(impl.path), impl.path);
}

int64_t estimate_file_bytes(const Manifest& manifest) {
  constexpr int64_t kFixed = 16384;  // superblock, object headers, alignment, footer
  constexpr int64_t kRowTable = 1 + 4 + 4 + 32 + 4;  // state, CRC, check, digest, view
  constexpr int64_t kHeapCollection = 65536;  // HDF5 keeps many strings in collections of this size
  int64_t references = 0;
  int64_t heap = 0;
  const auto add_strings = [&](const std::vector<std::string>& strings) {
    references += 16 * static_cast<int64_t>(strings.size());
    for (const std::string& text : strings) {
      heap += 16 + (static_cast<int64_t>(text.size()) + 7) / 8 * 8;
    }
  };
  add_strings(manifest.sample_ids);
  for (const LabelColumn& column : manifest.labels) add_strings(column.classes);
  if (heap > kHeapCollection)
    heap = (heap + kHeapCollection - 1) / kHeapCollection * kHeapCollection;
  const auto columns = static_cast<int64_t>(manifest.labels.size());
  const std::string config =
      manifest.config.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return kFixed + static_cast<int64_t>(config.size()) + references + heap +
         manifest.rows * (manifest.row_bytes() + kRowTable + 4 * columns) +
         manifest.rows * (manifest.thumbnail_size > 0 ? manifest.thumbnail_bytes() + 4 : 0) +
         8 * manifest.backbone.dim * (manifest.layers() + 1);  // statistics, norm
}

}  // namespace last
