#include "common/tensor_file/mapped_file.h"

#include <sys/mman.h>

#include "common/error.h"
#include "common/io/file.h"

namespace last {

MappedFile::MappedFile(const std::string& path) {
  const File file = File::open_read(path);
  size_ = file.size();
  if (size_ == 0) return;  // mmap refuses empty files
  // Without MAP_NORESERVE a file larger than memory would be refused: all of it might be written
  // to.
  void* data = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE,
                      file.descriptor(), 0);
  if (data == MAP_FAILED) fail_errno(concat("can't map \"", path, "\" (", size_, " bytes)"));
  data_ = static_cast<uint8_t*>(data);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

}  // namespace last
