#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace last {

// A checkpoint as named tensors, whatever the file format. Thread-safe after construction.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  // The file that the user named.
  virtual const std::string& path() const = 0;
  // Sorted by bytes.
  virtual const std::vector<std::string>& names() const = 0;
  virtual bool has(const std::string& name) const = 0;
  virtual const std::vector<int64_t>& shape(const std::string& name) const = 0;
  virtual c10::ScalarType dtype(const std::string& name) const = 0;
  // On the CPU, contiguous, read-only by contract; it stays valid when the source is gone. An
  // unknown name is an Error.
  virtual at::Tensor tensor(const std::string& name) const = 0;
  // Row `index` of the first dimension; where the format allows it, nothing else is read.
  virtual at::Tensor slice(const std::string& name, int64_t index) const;
  virtual const std::map<std::string, std::string>& metadata() const = 0;
  // SHA-256 of the file, hexadecimal; for a file of several parts, of the index and the parts'
  // digests in order.
  virtual std::string sha256() const = 0;
};

// Opens `path` by what it is: NAME.safetensors, NAME.safetensors.index.json, NAME.npz, or a folder
// that holds model.safetensors, model.safetensors.index.json or open_clip_model.safetensors. A
// pickled file (.pth, .pt, .bin) is an Error that names the script which converts it.
std::unique_ptr<TensorSource> open_tensor_source(const std::string& path);

}  // namespace last
