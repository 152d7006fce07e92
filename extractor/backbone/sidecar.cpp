#include <filesystem>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/io/file.h"
#include "extractor/backbone/architecture.h"

namespace last {
namespace {

using nlohmann::json;

// An absent or unreadable number is no number.
template <class T>
std::optional<T> number(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  return found->get<T>();
}

std::optional<std::array<double, 3>> triple(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array() || found->size() != 3) return std::nullopt;
  std::array<double, 3> result{};
  for (size_t i = 0; i < 3; ++i) {
    if (!(*found)[i].is_number()) return std::nullopt;
    result[i] = (*found)[i].get<double>();
  }
  return result;
}

// 224, [224, 224], or [3, 224, 224]: height and width
std::optional<std::array<int64_t, 2>> image_size(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return std::nullopt;
  if (found->is_number_integer()) {
    const auto size = found->get<int64_t>();
    return std::array<int64_t, 2>{size, size};
  }
  if (!found->is_array() || found->size() < 2 || found->size() > 3) return std::nullopt;
  const json& height = (*found)[found->size() - 2];
  const json& width = found->back();
  if (!height.is_number_integer() || !width.is_number_integer()) return std::nullopt;
  return std::array<int64_t, 2>{height.get<int64_t>(), width.get<int64_t>()};
}

json read_object(const std::filesystem::path& path) {
  const json value = json::parse(read_text_file(path.string()), nullptr, false);
  if (!value.is_object()) fail("\"", path.string(), "\" is not a JSON object");
  return value;
}

json member(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_object() ? *found : json::object();
}

std::optional<Activation> hidden_activation(const json& object) {
  const std::string name = object.contains("hidden_act") && object["hidden_act"].is_string()
                               ? object["hidden_act"].get<std::string>()
                               : "";
  if (name == "gelu") return Activation::kGelu;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new") return Activation::kGeluTanh;
  if (name == "quick_gelu") return Activation::kQuickGelu;
  return std::nullopt;
}

void read_timm(const json& config, ArchitectureHints& hints) {
  const std::string architecture = config["architecture"].get<std::string>();
  const std::string source = hints.source;
  hints = hints_of_timm_name(architecture);
  hints.source = source;
  const json arguments = member(config, "model_args");
  const json pretrained = member(config, "pretrained_cfg");
  hints.dim = number<int64_t>(config, "num_features");
  hints.heads = number<int64_t>(arguments, "num_heads");
  hints.image = image_size(arguments, "img_size");
  if (!hints.image) hints.image = image_size(pretrained, "input_size");
  hints.mean = triple(pretrained, "mean");
  hints.std = triple(pretrained, "std");
}

void read_transformers(const json& config, ArchitectureHints& hints) {
  const json vision = config.contains("vision_config") ? member(config, "vision_config") : config;
  hints.dim = number<int64_t>(vision, "hidden_size");
  hints.heads = number<int64_t>(vision, "num_attention_heads");
  hints.norm_eps = number<double>(vision, "layer_norm_eps");
  hints.activation = hidden_activation(vision);
  hints.image = image_size(vision, "image_size");
}

}  // namespace

ArchitectureHints read_sidecar_files(const std::string& weights) {
  namespace fs = std::filesystem;
  const fs::path folder =
      fs::is_directory(weights) ? fs::path(weights) : fs::path(weights).parent_path();
  ArchitectureHints hints;
  if (const fs::path path = folder / "config.json"; fs::exists(path)) {
    const json config = read_object(path);
    hints.source = "config.json";
    if (config.contains("architecture") && config["architecture"].is_string()) {
      read_timm(config, hints);
    } else {
      read_transformers(config, hints);
    }
  }
  if (const fs::path path = folder / "preprocessor_config.json"; fs::exists(path)) {
    const json config = read_object(path);
    if (hints.source.empty()) hints.source = "preprocessor_config.json";
    if (!hints.mean) hints.mean = triple(config, "image_mean");
    if (!hints.std) hints.std = triple(config, "image_std");
  }
  return hints;
}

}  // namespace last
