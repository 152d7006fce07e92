#include "common/io/checksum.h"

#include <algorithm>
#include <isa-l/crc.h>
#include <vector>

#include <openssl/evp.h>

#include "common/error.h"
#include "common/io/file.h"

namespace last {

uint32_t crc32c(const void* data, size_t size, uint32_t crc) {
  constexpr size_t kLargestPiece = size_t{1} << 30;  // the library takes the length as an int
  auto* bytes = static_cast<unsigned char*>(const_cast<void*>(data));  // it only reads
  crc = ~crc;
  while (size > 0) {
    const size_t piece = std::min(size, kLargestPiece);
    crc = crc32_iscsi(bytes, static_cast<int>(piece), crc);
    bytes += piece;
    size -= piece;
  }
  return ~crc;
}

struct Sha256::Context {
  EVP_MD_CTX* handle = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(handle); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  if (EVP_DigestInit_ex(context_->handle, EVP_sha256(), nullptr) != 1) {
    fail("OpenSSL has no SHA-256");
  }
}

Sha256::~Sha256() = default;

void Sha256::update(const void* data, size_t size) {
  EVP_DigestUpdate(context_->handle, data, size);
}

Sha256Digest Sha256::finish() {
  Sha256Digest digest{};
  EVP_DigestFinal_ex(context_->handle, digest.data(), nullptr);
  return digest;
}

Sha256Digest sha256(const void* data, size_t size) {
  Sha256 hash;
  hash.update(data, size);
  return hash.finish();
}

Sha256Digest sha256_of_file(const std::string& path) {
  const File file = File::open_read(path);
  std::vector<uint8_t> buffer(size_t{1} << 20);
  const uint64_t size = file.size();
  Sha256 hash;
  for (uint64_t offset = 0; offset < size; offset += buffer.size()) {
    const size_t piece = std::min<uint64_t>(buffer.size(), size - offset);
    file.read_at(buffer.data(), piece, offset);
    hash.update(buffer.data(), piece);
  }
  return hash.finish();
}

std::string to_hex(const Sha256Digest& digest) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(64);
  for (const uint8_t byte : digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace last
