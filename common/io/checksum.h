#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace last {

// CRC-32C (Castagnoli, RFC 3720). `crc` is the value of the bytes before, 0 at the start.
uint32_t crc32c(const void* data, size_t size, uint32_t crc = 0);

using Sha256Digest = std::array<uint8_t, 32>;

// Incremental SHA-256.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(const void* data, size_t size);
  // The digest of all bytes so far; the object can't be used after it.
  Sha256Digest finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

Sha256Digest sha256(const void* data, size_t size);
Sha256Digest sha256_of_file(const std::string& path);

// 64 lower-case hexadecimal digits.
std::string to_hex(const Sha256Digest& digest);

}  // namespace last
