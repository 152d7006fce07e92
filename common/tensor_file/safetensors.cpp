#include "common/tensor_file/safetensors.h"

#include <cstdint>
#include <cstring>
#include <utility>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include "common/error.h"
#include "common/io/checksum.h"
#include "common/tensor_file/mapped_file.h"

namespace last {

SafetensorsFile::SafetensorsFile(const std::string& path)
    : path_(path), mapping_(std::make_shared<MappedFile>(path)) {
  header_ = parse_safetensors_header({mapping_->data(), mapping_->size()}, path);
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
  uint8_t* data = mapping_->data() + found.begin;
  if (reinterpret_cast<uintptr_t>(data) % c10::elementSize(found.dtype) != 0) {
    at::Tensor copy = at::empty(found.shape, found.dtype);
    std::memcpy(copy.data_ptr(), data, found.end - found.begin);
    return copy;
  }
  return at::from_blob(
      data, found.shape, [mapping = mapping_](void*) {}, found.dtype);
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
