#include <filesystem>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/io/file.h"
#include "common/io/json_integer.h"
#include "extractor/backbone/architecture.h"

namespace last {
namespace {

using nlohmann::json;

// An absent or unreadable number is no number.
std::optional<double> number(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

std::optional<int64_t> integer(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return std::nullopt;
  return json_integer(*found);
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
    const auto size = json_integer(*found);
    return std::array<int64_t, 2>{size, size};
  }
  if (!found->is_array() || found->size() < 2 || found->size() > 3) return std::nullopt;
  const json& height = (*found)[found->size() - 2];
  const json& width = found->back();
  if (!height.is_number_integer() || !width.is_number_integer()) return std::nullopt;
  return std::array<int64_t, 2>{json_integer(height), json_integer(width)};
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
  if (name == "silu") return Activation::kSilu;
  if (name == "quick_gelu") return Activation::kQuickGelu;
  return std::nullopt;
}

// Weights that were trained with QuickGELU are also published under the name of a model with GELU,
// with a note.
bool is_noted_as_quick_gelu(const json& pretrained) {
  const auto notes = pretrained.find("notes");
  if (notes == pretrained.end()) return false;
  const std::string text = notes->dump();
  return text.find("QuickGELU") != std::string::npos || text.find("quickgelu") != std::string::npos;
}

void read_timm(const json& config, ArchitectureHints& hints) {
  const std::string architecture = config["architecture"].get<std::string>();
  hints = hints_of_timm_name(architecture);
  hints.source = concat("config.json, ", architecture);
  const json arguments = member(config, "model_args");
  const json pretrained = member(config, "pretrained_cfg");
  hints.dim = integer(config, "num_features");
  hints.heads = integer(arguments, "num_heads");
  hints.image = image_size(arguments, "img_size");
  if (!hints.image) hints.image = image_size(pretrained, "input_size");
  hints.mean = triple(pretrained, "mean");
  hints.std = triple(pretrained, "std");
  if (is_noted_as_quick_gelu(pretrained)) {
    hints.activation = Activation::kQuickGelu;
    hints.assumed.insert("activation");
    hints.source += ", whose notes say that the weights were trained with QuickGELU";
  }
}

void read_transformers(const json& config, ArchitectureHints& hints) {
  const json vision = config.contains("vision_config") ? member(config, "vision_config") : config;
  hints.dim = integer(vision, "hidden_size");
  hints.heads = integer(vision, "num_attention_heads");
  hints.norm_eps = number(vision, "layer_norm_eps");
  hints.activation = hidden_activation(vision);
  hints.image = image_size(vision, "image_size");
  const auto type = config.find("model_type");
  if (type != config.end() && *type == "dinov3_vit") {
    hints.gate_activation = hints.activation;  // DINOv2's gate is SiLU whatever is stated
    hints.rope = dinov3_rope();
    hints.rope->base = number(vision, "rope_theta").value_or(hints.rope->base);
  }
}

// open_clip's {"model_cfg": {"quick_gelu", "vision_cfg": {..}}, "preprocess_cfg": {..}}
void read_open_clip(const json& config, ArchitectureHints& hints) {
  const json model = member(config, "model_cfg");
  const json vision = member(model, "vision_cfg");
  const json preprocess = member(config, "preprocess_cfg");
  const auto tower = vision.find("timm_model_name");
  if (tower != vision.end() && tower->is_string()) {
    hints = hints_of_timm_name(tower->get<std::string>());
  } else {
    const bool quick = model.contains("quick_gelu") && model["quick_gelu"] == true;
    hints.activation = quick ? Activation::kQuickGelu : Activation::kGelu;
    hints.dim = integer(vision, "width");
    constexpr int64_t kHeadWidth = 64;  // open_clip's default
    const int64_t head_width = integer(vision, "head_width").value_or(kHeadWidth);
    if (hints.dim && head_width > 0) hints.heads = *hints.dim / head_width;
  }
  hints.source = "open_clip_config.json";
  hints.image = image_size(vision, "image_size");
  hints.mean = triple(preprocess, "mean");
  hints.std = triple(preprocess, "std");
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
    if (config.contains("model_cfg")) {
      read_open_clip(config, hints);
    } else if (config.contains("architecture") && config["architecture"].is_string()) {
      read_timm(config, hints);
    } else {
      read_transformers(config, hints);
    }
  }
  if (const fs::path path = folder / "open_clip_config.json";
      hints.source.empty() && fs::exists(path)) {
    read_open_clip(read_object(path), hints);
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
