// Input: a byte that says how a NumPy archive is made of the rest:
//   z  it is the archive
//   a  it is an array (.npy), which is put into an archive as it is and compressed, so that changed
//      headers come with right checksums
// What is accepted is read whole and row by row.

#include "common/tensor_file/npz.h"

#include <cstring>
#include <zip.h>

#include "common/error.h"
#include "common/io/file.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace last;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

void add_array(zip* archive, const char* name, std::string_view bytes, int32_t method) {
  zip_source_t* source = zip_source_buffer(archive, bytes.data(), bytes.size(), 0);
  const zip_int64_t index = zip_file_add(archive, name, source, ZIP_FL_OVERWRITE);
  require(index >= 0);
  require(zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), method, 1) == 0);
}

void write_archive(const std::string& path, std::string_view array) {
  int code = 0;
  zip* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
  require(archive != nullptr);
  add_array(archive, "stored.npy", array, ZIP_CM_STORE);
  add_array(archive, "packed.npy", array, ZIP_CM_DEFLATE);
  require(zip_close(archive) == 0);
}

bool same_bytes(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() && a.is_contiguous() &&
         b.is_contiguous() &&
         (a.nbytes() == 0 || std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0);
}

void read_tensor(const NpzFile& file, const std::string& name) {
  const at::Tensor whole = file.tensor(name);
  require(whole.sizes() == at::IntArrayRef(file.shape(name)));
  require(whole.scalar_type() == file.dtype(name));
  fuzz::expect_result_or_error([&] { file.slice(name, -1), require(false); });
  if (whole.dim() == 0) return;
  const int64_t rows = whole.size(0);
  fuzz::expect_result_or_error([&] { file.slice(name, rows), require(false); });
  if (rows == 0) return;
  for (const int64_t row : {int64_t{0}, rows / 2, rows - 1}) {
    require(same_bytes(file.slice(name, row), whole.select(0, row)));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const fuzz::Folder folder;
  const std::string path = folder / "a.npz";
  const std::string_view rest = fuzz::text_of(data + 1, size - 1);
  if (data[0] == 'a') {
    write_archive(path, rest);
  } else {
    write_file_atomically(path, std::string(rest));
  }
  fuzz::expect_result_or_error([&] {
    const NpzFile file(path);
    for (const std::string& name : file.names()) {
      fuzz::expect_result_or_error([&] { read_tensor(file, name); });
    }
    if (data[0] == 'a') require(same_bytes(file.tensor("stored"), file.tensor("packed")));
  });
  return 0;
}
