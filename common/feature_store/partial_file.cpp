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
  file.read_at(table.digests.data(), extents.image_digest.size, extents.image_digest.offset);
  file.read_at(table.thumbnail_crcs.data(), extents.thumbnail_crc32c.size,
               extents.thumbnail_crc32c.offset);
  return table;
}

// Rows whose CRCs do not match, and those that were bad, become absent.
void recheck_rows(PartialFile& partial) {
  std::vector<char> data;
  const auto is_sound = [&](const Extent& extent, int64_t bytes, size_t row, uint32_t crc) {
    const auto size = static_cast<uint64_t>(bytes);
    data.resize(size);
    partial.file.read_at(data.data(), size, extent.offset + row * size);
    return crc32c(data.data(), size) == crc;
  };
  const Manifest& manifest = partial.manifest;
  const StoreExtents& extents = partial.extents;
  for (size_t row = 0; row < partial.rows.states.size(); ++row) {
    uint8_t& state = partial.rows.states[row];
    if (state == kAbsent) continue;
    if (state == kStored &&
        is_sound(extents.features, manifest.row_bytes(), row, partial.rows.crcs[row]) &&
        (manifest.thumbnail_size == 0 || is_sound(extents.thumbnails, manifest.thumbnail_bytes(),
                                                  row, partial.rows.thumbnail_crcs[row]))) {
      continue;
    }
    state = kAbsent;
    partial.file.write_at(&state, 1, partial.extents.row_state.offset + row);
  }
}

PartialFile resume_partial(const std::string& path, const Manifest& wanted) {
  const std::string name = partial_path(path);
  PartialFile partial{{}, {}, 0, File::open_read_write(name), RowTable(0), true};
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
  if (!difference.empty()) {
    if (std::ranges::count(partial.rows.states, kStored) == 0) {
      // Nothing is lost, and a run that failed at its first row can be repeated with other options.
      partial.file.close();
      std::remove(name.c_str());  // its space may be needed
      return create_partial(path, wanted);
    }
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
  recheck_rows(partial);
  return partial;
}

}  // namespace

std::string partial_path(const std::string& path) { return path + ".partial"; }

PartialFile open_partial(const std::string& path, Manifest manifest) {
  if (std::filesystem::exists(path)) {
    fail("\"", path, "\" exists already and is finished: remove it to extract it again");
  }
  check_no_other_store(path, manifest.shard_count);
  if (std::filesystem::exists(partial_path(path))) return resume_partial(path, manifest);
  return create_partial(path, std::move(manifest));
}

}  // namespace last
