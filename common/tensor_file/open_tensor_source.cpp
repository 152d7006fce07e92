#include <filesystem>

#include "common/error.h"
#include "common/tensor_file/npz.h"
#include "common/tensor_file/safetensors.h"
#include "common/tensor_file/sharded_safetensors.h"
#include "common/tensor_file/tensor_source.h"

namespace last {
namespace {

bool is_pickled(const std::string& extension) {
  return extension == ".pth" || extension == ".pt" || extension == ".bin" || extension == ".tar";
}

}  // namespace

std::unique_ptr<TensorSource> open_tensor_source(const std::string& path) {
  namespace fs = std::filesystem;
  if (fs::is_directory(path)) {
    for (const char* name :
         {"model.safetensors", "model.safetensors.index.json", "open_clip_model.safetensors"}) {
      const fs::path inside = fs::path(path) / name;
      if (fs::exists(inside)) return open_tensor_source(inside.string());
    }
    fail("folder \"", path,
         "\" holds none of model.safetensors, model.safetensors.index.json and "
         "open_clip_model.safetensors");
  }
  const std::string extension = fs::path(path).extension().string();
  if (is_pickled(extension)) {
    fail("can't read \"", path,
         "\": pickled files can run code when they are read; "
         "scripts/convert_checkpoint.py turns them into safetensors");
  }
  if (extension == ".npz") return std::make_unique<NpzFile>(path);
  if (extension == ".json") return std::make_unique<ShardedSafetensors>(path);
  return std::make_unique<SafetensorsFile>(path);
}

}  // namespace last
