#include "common/feature_store/partial_file.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "common/error.h"
#include "common/feature_store/reserve.h"
#include "common/feature_store/shard_files.h"
#include "common/feature_store/writer.h"
#include "common/io/checksum.h"

namespace last {
namespace {

constexpr uint8_t kStored = static_cast<uint8_t>(RowState::kStored);
constexpr uint8_t kAbsent = static_cast<uint8_t>(RowState::kAbsent);

uint64_t file_bytes(uint64_t hdf5_size) { return footer_offset(hdf5_size) + kFooterBytes; }

// Before HDF5 starts, whose messages on full disks are long: there is room for all, and what HDF5
// writes itself could be reserved. It gives that back when it creates the file.
void reserve_for_hdf5(const std::string& path, const Manifest& manifest) {
  const File file = File::create(path);
  const int64_t all = estimate_file_bytes(manifest);
  require_space(file, static_cast<uint64_t>(all));
  const int64_t later = manifest.rows * (manifest.row_bytes() + manifest.thumbnail_bytes());
  reserve_space(file, static_cast<uint64_t>(all - later));
}

// One writer, even where PATH.lock was deleted under another one.
void lock_out_others(const File& file) {
  if (file.try_lock()) return;
  fail("\"", file.path(), "\" is locked: another process is writing there; wait for it or stop it");
}

// Made under another name, so that PATH.partial never lacks its metadata, whenever we are killed.
PartialFile create_partial(const std::string& path, Manifest manifest) {
  const std::string temporary = partial_path(path) + ".tmp";
  PartialFile partial{std::move(manifest), {}, 0, {}, RowTable(0), false};
  partial.rows = RowTable(partial.manifest.rows);
  try {
    reserve_for_hdf5(temporary, partial.manifest);
    {
      const hdf5::Session session;
      partial.extents = create_hdf5_file(temporary, partial.manifest);
    }
    partial.file = File::open_read_write(temporary);
    partial.hdf5_size = partial.file.size();
    reserve_space(partial.file, file_bytes(partial.hdf5_size));
    write_footer(partial.file, FooterKind::kPartial, partial.hdf5_size, partial.extents.all());
    partial.file.sync();
    publish_file(temporary, partial_path(path));
    partial.file = File::open_read_write(partial_path(path));  // errors name the file as it is
    lock_out_others(partial.file);
  } catch (...) {
    std::remove(temporary.c_str());
    throw;
  }
  return partial;
}

[[noreturn]] void fail_damaged(const std::string& file, const std::string& what) {
  fail("can't resume: ", what, "; delete \"", file, "\" and start again");
}

Footer read_checked_footer(const File& file) {
  try {
    const auto footer = read_footer(file);
    if (!footer) fail("\"", file.path(), "\" has no footer");
    check_content(file, *footer);
    return *footer;
  } catch (const Error& error) {
    fail_damaged(file.path(), error.what());
  }
}

RowTable read_row_table(const File& file, const StoreExtents& extents, int64_t rows) {
  RowTable table(rows);
  file.read_at(table.states.data(), extents.row_state.size, extents.row_state.offset);
  file.read_at(table.crcs.data(), extents.row_crc32c.size, extents.row_crc32c.offset);
  file.read_at(table.checks.data(), extents.row_check.size, extents.row_check.offset);
  file.read_at(table.digests.data(), extents.image_digest.size, extents.image_digest.offset);
  file.read_at(table.thumbnail_crcs.data(), extents.thumbnail_crc32c.size,
               extents.thumbnail_crc32c.offset);
  return table;
}

// Rows whose check or CRCs do not match, and those that were bad, become absent. After a power loss
// any part of a row may be older than the others, and all of it is what is checked.
void recheck_rows(PartialFile& partial, const RowProgress& progress) {
  constexpr int64_t kBlock = 64;  // rows between two calls of `progress`
  const Manifest& manifest = partial.manifest;
  const StoreExtents& extents = partial.extents;
  RowTable& table = partial.rows;
  const auto is_sound = [&](const Extent& extent, int64_t bytes, size_t row, uint32_t crc,
                            std::vector<char>& data) {
    const auto size = static_cast<uint64_t>(bytes);
    data.resize(size);
    partial.file.read_at(data.data(), size, extent.offset + row * size);
    return crc32c(data.data(), size) == crc;
  };
  const auto is_whole = [&](size_t row, std::vector<char>& data) {
    return table.states[row] == kStored &&
           table.checks[row] == table.check_of(row, RowState::kStored) &&
           is_sound(extents.features, manifest.row_bytes(), row, table.crcs[row], data) &&
           (manifest.thumbnail_size == 0 || is_sound(extents.thumbnails, manifest.thumbnail_bytes(),
                                                     row, table.thumbnail_crcs[row], data));
  };
  std::vector<size_t> marked;
  for (size_t row = 0; row < table.states.size(); ++row) {
    if (table.states[row] != kAbsent) marked.push_back(row);
  }
  for_each_row(
      static_cast<int64_t>(marked.size()), kBlock,
      [&](int64_t i, std::vector<char>& data) {
        const size_t row = marked[static_cast<size_t>(i)];
        if (is_whole(row, data)) return;
        table.states[row] = kAbsent;
        partial.file.write_at(&kAbsent, 1, extents.row_state.offset + row);
      },
      progress);
}

PartialFile resume_partial(const std::string& path, const Manifest& wanted,
                           const RowProgress& progress) {
  const std::string name = partial_path(path);
  PartialFile partial{{}, {}, 0, File::open_read_write(name), RowTable(0), true};
  lock_out_others(partial.file);
  const Footer footer = read_checked_footer(partial.file);
  partial.hdf5_size = footer.hdf5_size;
  {
    const hdf5::Session session;
    const hdf5::FileHandle file = hdf5::open_file_read_only(name);
    partial.manifest = read_manifest(file.get());
    partial.extents = read_extents(file.get(), partial.manifest);
  }
  partial.rows = read_row_table(partial.file, partial.extents, partial.manifest.rows);
  const std::string difference = first_difference(partial.manifest, wanted);
  const bool holds_rows = std::ranges::count(partial.rows.states, kStored) > 0;
  if (!holds_rows && (!difference.empty() || partial.manifest.config != wanted.config)) {
    // Nothing is lost, and a run that failed at its first row can be repeated with other options,
    // or in other circumstances, which the configuration tells, too.
    partial.file.close();
    std::remove(name.c_str());  // its space may be needed
    return create_partial(path, wanted);
  }
  if (!difference.empty()) {
    fail("\"", name, "\" belongs to another run: ", difference,
         "; repeat that run's options, choose another --cache, or delete \"", name, "\"");
  }
  const std::vector<Extent> all = partial.extents.all();
  const bool is_final = footer.kind == FooterKind::kFinal;
  if (footer.excluded != (is_final ? partial.extents.rows() : all)) {
    fail_damaged(name,
                 concat("the footer of \"", name, "\" names other extents than its HDF5 part"));
  }
  reserve_space(partial.file, file_bytes(partial.hdf5_size));
  // Killed between footer and rename. Before a row changes, the footer must allow it.
  if (is_final) {
    write_footer(partial.file, FooterKind::kPartial, partial.hdf5_size, all);
    partial.file.sync();
  }
  recheck_rows(partial, progress);
  return partial;
}

}  // namespace

std::string partial_path(const std::string& path) { return path + ".partial"; }

PartialFile open_partial(const std::string& path, Manifest manifest, const RowProgress& progress) {
  // Perhaps by another run of the same command, a moment ago.
  if (std::filesystem::exists(path)) {
    fail("\"", path,
         "\" exists already and is finished: run the same command again to check it, or remove it "
         "to extract it again");
  }
  check_no_other_store(path, manifest.shard_count);
  if (std::filesystem::exists(partial_path(path))) {
    return resume_partial(path, manifest, progress);
  }
  return create_partial(path, std::move(manifest));
}

}  // namespace last
