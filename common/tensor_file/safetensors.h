#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/tensor_file/safetensors_header.h"
#include "common/tensor_file/tensor_source.h"

namespace last {

class MappedFile;

// A .safetensors file, mapped into memory. Opening reads the header, and of a file that carries our
// checksum (file_checksum.h) everything: an Error where it doesn't fit.
class SafetensorsFile : public TensorSource {
 public:
  explicit SafetensorsFile(const std::string& path);
  ~SafetensorsFile() override;

  const std::string& path() const override { return path_; }
  const std::vector<std::string>& names() const override { return names_; }
  bool has(const std::string& name) const override;
  const std::vector<int64_t>& shape(const std::string& name) const override;
  c10::ScalarType dtype(const std::string& name) const override;
  // A view of the mapping, which it keeps alive; a copy where the file places it unaligned.
  at::Tensor tensor(const std::string& name) const override;
  const std::map<std::string, std::string>& metadata() const override { return header_.metadata; }
  std::string sha256() const override;
  bool has_checksum() const { return has_checksum_; }
  // An Error where the file carries no checksum, as all do that write_safetensors() made. For
  // readers of such files: damage could have hidden it.
  void require_checksum() const;

 private:
  const SafetensorsEntry& entry(const std::string& name) const;

  std::string path_;
  std::shared_ptr<MappedFile> mapping_;
  SafetensorsHeader header_;
  std::vector<std::string> names_;
  bool has_checksum_ = false;
};

// Writes PATH.tmp and renames it. The same tensors give the same bytes, those of the reference
// implementation: by element type, larger ones first, then by name; so every tensor is aligned.
// Tensors may lie on any device and have any strides. The file carries a checksum, which
// SafetensorsFile checks and keeps out of its metadata().
void write_safetensors(const std::string& path, const std::map<std::string, at::Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace last
