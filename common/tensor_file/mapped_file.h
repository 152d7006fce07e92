#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace last {

// A whole file in memory, read by the system when it is touched. Private and writable: a tensor on
// top of it that is changed by mistake changes a copy of the page, never the file.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace last
