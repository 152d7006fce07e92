#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/tensor_file/safetensors.h"
#include "common/tensor_file/tensor_source.h"

namespace last {

// NAME.safetensors.index.json and the files that its weight_map names, in the same folder.
class ShardedSafetensors : public TensorSource {
 public:
  explicit ShardedSafetensors(const std::string& index_path);

  const std::string& path() const override { return path_; }
  const std::vector<std::string>& names() const override { return names_; }
  bool has(const std::string& name) const override;
  const std::vector<int64_t>& shape(const std::string& name) const override;
  c10::ScalarType dtype(const std::string& name) const override;
  at::Tensor tensor(const std::string& name) const override;
  const std::map<std::string, std::string>& metadata() const override { return metadata_; }
  std::string sha256() const override;

 private:
  const SafetensorsFile& file_of(const std::string& name) const;

  std::string path_;
  std::map<std::string, std::unique_ptr<SafetensorsFile>> files_;  // by file name
  std::map<std::string, const SafetensorsFile*> owner_;            // by tensor name
  std::vector<std::string> names_;
  std::map<std::string, std::string> metadata_;  // of the first file
};

}  // namespace last
