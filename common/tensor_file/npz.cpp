#include "common/tensor_file/npz.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <span>
#include <zip.h>

#include <ATen/ops/empty.h>

#include "common/error.h"
#include "common/io/checksum.h"
#include "common/tensor_file/safetensors_header.h"

namespace last {
namespace {

struct EntryCloser {
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};
using EntryReader = std::unique_ptr<zip_file_t, EntryCloser>;

zip* open_archive(const std::string& path) {
  std::error_code missing;  // what isn't there is said below
  if (const auto status = std::filesystem::status(path, missing);
      std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    fail("can't read \"", path, "\": it is not a regular file");  // a pipe would be waited for
  }
  int code = 0;
  zip* archive = zip_open(path.c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &code);
  if (archive != nullptr) return archive;
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  const std::string reason = zip_error_strerror(&error);
  zip_error_fini(&error);
  fail("can't read \"", path, "\" as a NumPy archive (.npz): ", reason,
       " (no such archive, or a truncated one)");
}

}  // namespace

NpzFile::NpzFile(const std::string& path) : path_(path), archive_(open_archive(path)) {
  try {
    const zip_int64_t count = zip_get_num_entries(archive_, 0);
    uint64_t bytes_left = std::filesystem::file_size(path);
    for (zip_int64_t i = 0; i < count; ++i) add_entry(static_cast<uint64_t>(i), bytes_left);
  } catch (...) {
    zip_discard(archive_);
    throw;
  }
  for (const auto& [name, entry] : entries_) names_.push_back(name);
}

NpzFile::~NpzFile() { zip_discard(archive_); }

const std::vector<int64_t>& NpzFile::shape(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) fail("\"", path_, "\" has no tensor ", quoted_name(name));
  return found->second.header.shape;
}

c10::ScalarType NpzFile::dtype(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) fail("\"", path_, "\" has no tensor ", quoted_name(name));
  return found->second.header.dtype;
}

at::Tensor NpzFile::tensor(const std::string& name) const {
  const Entry& entry = readable_entry(name);
  const NpyHeader& header = entry.header;
  std::vector<int64_t> shape = header.shape;
  // Fortran's order is C's of the transposed array.
  if (header.fortran_order) std::reverse(shape.begin(), shape.end());
  at::Tensor result = at::empty(shape, header.dtype);
  read(entry, place_of(name), header.data_begin, result.data_ptr(), header.data_bytes, true);
  if (!header.fortran_order) return result;
  std::vector<int64_t> axes(shape.size());
  for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(axes.size() - 1 - i);
  return result.permute(axes).contiguous();
}

at::Tensor NpzFile::slice(const std::string& name, int64_t index) const {
  const Entry& entry = readable_entry(name);
  const NpyHeader& header = entry.header;
  if (header.fortran_order || header.shape.empty()) return TensorSource::slice(name, index);
  if (index < 0 || index >= header.shape.front()) {
    fail(place_of(name), " has no row ", index, " (it has ", header.shape.front(), ")");
  }
  at::Tensor result =
      at::empty(std::vector<int64_t>(header.shape.begin() + 1, header.shape.end()), header.dtype);
  const uint64_t bytes = result.nbytes();
  check_once(entry, place_of(name));
  read(entry, place_of(name), header.data_begin + static_cast<uint64_t>(index) * bytes,
       result.data_ptr(), bytes, false);
  return result;
}

std::string NpzFile::sha256() const { return to_hex(sha256_of_file(path_)); }

void NpzFile::add_entry(uint64_t index, uint64_t& bytes_left) {
  // Deflate packs 1032 bytes into one at best; what claims more is made to fill memory.
  constexpr uint64_t kLargestRatio = 1100;
  constexpr uint64_t kSmall = 65536;
  zip_stat_t stat;
  zip_stat_init(&stat);
  if (zip_stat_index(archive_, index, 0, &stat) != 0 || (stat.valid & ZIP_STAT_NAME) == 0 ||
      (stat.valid & ZIP_STAT_SIZE) == 0 || (stat.valid & ZIP_STAT_COMP_SIZE) == 0) {
    fail("\"", path_, "\": entry ", index, " of the archive has no name or no size");
  }
  std::string name = stat.name;
  if (!name.ends_with(".npy")) {
    fail("\"", path_, "\": ", quoted_name(name), " is no NumPy array (.npy)");
  }
  name.resize(name.size() - 4);
  const std::string place = place_of(name);
  if (stat.size > kSmall && stat.size / kLargestRatio > stat.comp_size) {
    fail(place, " claims to unpack from ", stat.comp_size, " bytes to ", stat.size);
  }
  if (stat.comp_size > bytes_left) {
    fail(place, " shares bytes of the archive with other entries: one made to fill memory");
  }
  bytes_left -= stat.comp_size;
  std::vector<uint8_t> start(std::min<uint64_t>(stat.size, kMaxNpyHeader + 12));
  // Most headers are short; only a long one is read to its end.
  const uint64_t first = std::min<uint64_t>(start.size(), 256);
  Entry entry;
  entry.index = index;
  entry.is_stored = (stat.valid & ZIP_STAT_COMP_METHOD) != 0 && stat.comp_method == ZIP_CM_STORE;
  read(entry, place, 0, start.data(), first, false);
  const bool is_long = first == 256 && (start[6] > 1 || start[8] + 256 * start[9] > 246);
  if (is_long) read(entry, place, 0, start.data(), start.size(), false);
  entry.header = parse_npy_header({start.data(), is_long ? start.size() : first}, place);
  if (entry.header.dtype != c10::ScalarType::Undefined &&
      entry.header.data_begin + entry.header.data_bytes != stat.size) {
    fail(place, ": ", entry.header.data_bytes, " bytes of numbers expected for its shape, ",
         stat.size - entry.header.data_begin, " found");
  }
  if (!entries_.emplace(name, std::move(entry)).second) fail(place, " is there twice");
}

const NpzFile::Entry& NpzFile::readable_entry(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    fail("\"", path_, "\" has no tensor ", quoted_name(name), " (it has ", names_.size(), ")");
  }
  if (found->second.header.dtype == c10::ScalarType::Undefined) {
    fail(place_of(name), ": numbers of type ", quoted_name(found->second.header.descr),
         " are not supported (f8, f4, f2, bfloat16 and integers, little endian, are)");
  }
  return found->second;
}

void NpzFile::check_once(const Entry& entry, const std::string& place) const {
  {
    const std::lock_guard lock(mutex_);
    if (checked_.count(entry.index) != 0) return;
  }
  read(entry, place, entry.header.data_begin + entry.header.data_bytes, nullptr, 0, true);
  const std::lock_guard lock(mutex_);
  checked_.insert(entry.index);
}

void NpzFile::read(const Entry& entry, const std::string& place, uint64_t offset, void* data,
                   uint64_t size, bool to_end) const {
  const std::lock_guard lock(mutex_);
  const EntryReader reader(zip_fopen_index(archive_, entry.index, 0));
  if (!reader) fail(place, ": ", zip_strerror(archive_));
  const auto read_bytes = [&](uint8_t* target, uint64_t bytes) {
    while (bytes > 0) {
      const zip_int64_t count = zip_fread(reader.get(), target, bytes);
      if (count < 0) fail(place, ": ", zip_file_strerror(reader.get()), " (a damaged archive)");
      if (count == 0) fail(place, " ends ", bytes, " bytes too early (a damaged archive)");
      target += count;
      bytes -= static_cast<uint64_t>(count);
    }
  };
  std::array<uint8_t, 65536> skipped;
  // Only stored entries can be sought in; libzip compares the checksum of what was read in order.
  if (entry.is_stored && !to_end && offset > 0) {
    if (zip_fseek(reader.get(), static_cast<zip_int64_t>(offset), SEEK_SET) != 0) {
      fail(place, ": ", zip_file_strerror(reader.get()), " (a damaged archive)");
    }
    offset = 0;
  }
  while (offset > 0) {
    const uint64_t bytes = std::min<uint64_t>(offset, skipped.size());
    read_bytes(skipped.data(), bytes);
    offset -= bytes;
  }
  read_bytes(static_cast<uint8_t*>(data), size);
  if (to_end && zip_fread(reader.get(), skipped.data(), 1) != 0) {
    fail(place, ": ", zip_file_strerror(reader.get()), " (a damaged archive)");
  }
}

std::string NpzFile::place_of(const std::string& name) const {
  return concat("\"", path_, "\": tensor ", quoted_name(name));
}

}  // namespace last
