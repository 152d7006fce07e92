#include "common/tensor_file/safetensors.h"

#include <cstdint>
#include <cstring>
#include <utility>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include "common/error.h"
#include "common/io/checksum.h"
#include "common/tensor_file/file_checksum.h"
#include "common/tensor_file/mapped_file.h"

namespace last {

SafetensorsFile::SafetensorsFile(const std::string& path)
    : path_(path), mapping_(std::make_shared<MappedFile>(path)) {
  const std::span<const uint8_t> bytes(mapping_->data(), mapping_->size());
  const auto checksum = file_checksum(bytes);
  has_checksum_ = checksum.has_value();
  if (checksum && checksum->stored != checksum->computed) {
    fail("\"", path, "\" is damaged: its CRC-32C is ", checksum->computed, ", it states ",
         quoted_name(checksum->stored), " (or another program changed it and kept its metadata)");
  }
  header_ = parse_safetensors_header(bytes, path);
  header_.metadata.erase(kChecksumKey);
  for (const auto& [name, entry] : header_.entries) names_.push_back(name);
}

SafetensorsFile::~SafetensorsFile() = default;

bool SafetensorsFile::has(const std::string& name) const {
  return header_.entries.count(name) != 0;
}

const std::vector<int64_t>& SafetensorsFile::shape(const std::string& name) const {
  return entry(name).shape;
}

c10::ScalarType SafetensorsFile::dtype(const std::string& name) const { return entry(name).dtype; }

at::Tensor SafetensorsFile::tensor(const std::string& name) const {
  const SafetensorsEntry& found = entry(name);
  if (found.begin == found.end) return at::empty(found.shape, found.dtype);
  uint8_t* data = mapping_->data() + found.begin;
  if (reinterpret_cast<uintptr_t>(data) % c10::elementSize(found.dtype) != 0) {
    at::Tensor copy = at::empty(found.shape, found.dtype);
    std::memcpy(copy.data_ptr(), data, found.end - found.begin);
    return copy;
  }
  return at::from_blob(
      data, found.shape, [mapping = mapping_](void*) {}, found.dtype);
}

void SafetensorsFile::require_checksum() const {
  if (has_checksum_) return;
  fail("\"", path_, "\" has no checksum: it is damaged, or this program did not write it");
}

std::string SafetensorsFile::sha256() const {
  return to_hex(last::sha256(mapping_->data(), mapping_->size()));
}

const SafetensorsEntry& SafetensorsFile::entry(const std::string& name) const {
  const auto found = header_.entries.find(name);
  if (found == header_.entries.end()) {
    fail("\"", path_, "\" has no tensor ", quoted_name(name), " (it has ", names_.size(), ")");
  }
  return found->second;
}

}  // namespace last
