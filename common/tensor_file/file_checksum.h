#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace last {

// The checksum that write_safetensors() leaves where other readers see one more text in the
// metadata: the header of every file it writes starts with
//   {"__metadata__":{"crc32c":"0123abcd"
// The eight digits are the CRC-32C of the whole file, length and header included, in which they
// themselves count as zeros (the character 0).
inline constexpr char kChecksumKey[] = "crc32c";

// Found and expected digits; nothing where the file carries no checksum.
struct FileChecksum {
  std::string stored;
  std::string computed;
};
std::optional<FileChecksum> file_checksum(std::span<const uint8_t> file);

// Where in the file the digits are.
uint64_t checksum_offset();

std::string checksum_digits(uint32_t crc);

}  // namespace last
