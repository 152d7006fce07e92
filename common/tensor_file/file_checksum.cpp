#include "common/tensor_file/file_checksum.h"

#include <cstdio>
#include <cstring>
#include <string_view>

#include "common/io/checksum.h"

namespace last {
namespace {

constexpr std::string_view kStart = R"({"__metadata__":{"crc32c":")";
constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kDigits = 8;

}  // namespace

uint64_t checksum_offset() { return kLengthBytes + kStart.size(); }

std::string checksum_digits(uint32_t crc) {
  char text[kDigits + 1];
  std::snprintf(text, sizeof text, "%08x", crc);
  return text;
}

std::optional<FileChecksum> file_checksum(std::span<const uint8_t> file) {
  const uint64_t begin = checksum_offset();
  const uint64_t end = begin + kDigits;
  if (file.size() < end ||
      std::memcmp(file.data() + kLengthBytes, kStart.data(), kStart.size()) != 0) {
    return std::nullopt;
  }
  uint32_t crc = crc32c(file.data(), begin);
  crc = crc32c("00000000", kDigits, crc);
  crc = crc32c(file.data() + end, file.size() - end, crc);
  return FileChecksum{{reinterpret_cast<const char*>(file.data()) + begin, kDigits},
                      checksum_digits(crc)};
}

}  // namespace last
