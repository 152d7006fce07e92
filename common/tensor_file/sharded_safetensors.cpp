#include "common/tensor_file/sharded_safetensors.h"

#include <filesystem>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/io/checksum.h"
#include "common/io/file.h"
#include "common/io/json_text.h"

namespace last {
namespace {

nlohmann::json read_weight_map(const std::string& path) {
  const auto index = parse_json(read_text_file(path));
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    fail("\"", path, "\" is no index of safetensors files: an object with a weight_map expected");
  }
  return index["weight_map"];
}

}  // namespace

ShardedSafetensors::ShardedSafetensors(const std::string& index_path) : path_(index_path) {
  const auto folder = std::filesystem::path(index_path).parent_path();
  const nlohmann::json weight_map = read_weight_map(index_path);
  for (const auto& [name, value] : weight_map.items()) {
    const std::string file = value.is_string() ? value.get<std::string>() : "";
    // A part elsewhere than beside its index would let a download read any file of the machine.
    if (file.empty() || std::filesystem::path(file).filename() != file) {
      fail("\"", path_, "\": tensor ", quoted_name(name), ": ", value.dump(),
           " is not the name of a file in the same folder");
    }
    auto& part = files_[file];
    if (!part) part = std::make_unique<SafetensorsFile>((folder / file).string());
    if (!part->has(name)) {
      fail("\"", path_, "\": tensor ", quoted_name(name), " is not in \"", file, "\" as stated");
    }
    owner_[name] = part.get();
  }
  for (const auto& [file, part] : files_) {
    for (const std::string& name : part->names()) {
      if (owner_.count(name) != 0) continue;
      fail("\"", path_, "\": tensor ", quoted_name(name), " is in \"", file,
           "\", but its weight_map does not list it");
    }
  }
  for (const auto& [name, file] : owner_) names_.push_back(name);
  if (!files_.empty()) metadata_ = files_.begin()->second->metadata();
}

bool ShardedSafetensors::has(const std::string& name) const { return owner_.count(name) != 0; }

const std::vector<int64_t>& ShardedSafetensors::shape(const std::string& name) const {
  return file_of(name).shape(name);
}

c10::ScalarType ShardedSafetensors::dtype(const std::string& name) const {
  return file_of(name).dtype(name);
}

at::Tensor ShardedSafetensors::tensor(const std::string& name) const {
  return file_of(name).tensor(name);
}

std::string ShardedSafetensors::sha256() const {
  Sha256 hash;
  const std::string index = read_text_file(path_);
  hash.update(index.data(), index.size());
  for (const auto& [name, file] : files_) {
    const std::string digest = file->sha256();
    hash.update(digest.data(), digest.size());
  }
  return to_hex(hash.finish());
}

const SafetensorsFile& ShardedSafetensors::file_of(const std::string& name) const {
  const auto found = owner_.find(name);
  if (found == owner_.end()) fail("\"", path_, "\" has no tensor ", quoted_name(name));
  return *found->second;
}

}  // namespace last
