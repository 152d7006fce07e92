#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unistd.h>

#include "common/error.h"

// What the fuzz targets share. A target takes any bytes: last::Error is how bad input is to be
// refused, everything else that happens (another exception, a crash, a sanitizer's report, much
// memory, a long time) is a bug.
namespace last::fuzz {

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Cuts `rest` at its first zero byte: inputs of several texts stay readable in the corpus.
inline std::string_view take_part(std::string_view* rest) {
  const size_t end = rest->find('\0');
  const std::string_view part = rest->substr(0, end);
  rest->remove_prefix(end == std::string_view::npos ? rest->size() : end + 1);
  return part;
}

// Passes errors that a user would read, and nothing else.
template <class Action>
void expect_result_or_error(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    if (std::string_view(error.what()).empty()) __builtin_trap();
  }
}

// A folder of this process in memory, for readers that take a path; removed at the end.
class Folder {
 public:
  Folder() : path_("/dev/shm/last_fuzz." + std::to_string(::getpid())) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace last::fuzz
