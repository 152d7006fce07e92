#include <cmath>
#include <filesystem>
#include <map>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/io/file.h"
#include "common/io/json_integer.h"
#include "common/io/json_text.h"
#include "common/tensor_file/safetensors_header.h"
#include "extractor/backbone/architecture.h"

namespace last {
namespace {

using nlohmann::json;

// Larger than in any model, small enough for products of three of them.
constexpr int64_t kLargest = 65536;

// A JSON object in a file beside the weights. What is absent or null states nothing; what is there
// has to be possible, or is an Error that names file and key.
class Section {
 public:
  explicit Section(const std::filesystem::path& path)
      : path_(path.string()), object_(parse_json(read_text_file(path_))) {
    if (!object_.is_object()) fail("\"", path_, "\" is not a JSON object");
  }

  bool has(const char* key) const { return object_.contains(key) && !object_[key].is_null(); }
  const json& operator[](const char* key) const {
    static const json kNull;
    return has(key) ? object_[key] : kNull;
  }
  // An empty one where there is no object.
  Section member(const char* key) const {
    const json& inner = (*this)[key];
    return {path_, key_ + key + ".", inner.is_object() ? inner : json::object()};
  }

  // 1 .. kLargest
  std::optional<int64_t> count(const char* key) const {
    if (!has(key)) return std::nullopt;
    return checked_count(key, (*this)[key]);
  }

  // Likewise, or 0.
  std::optional<int64_t> count_or_none(const char* key) const {
    return (*this)[key] == 0 ? std::optional<int64_t>(0) : count(key);
  }

  // Above 0, at most `largest`.
  std::optional<double> positive(const char* key, double largest) const {
    if (!has(key)) return std::nullopt;
    const json& value = (*this)[key];
    const double number = value.is_number() ? value.get<double>() : 0;
    if (!(number > 0 && number <= largest)) {
      refuse(key, concat("a number above 0 and up to ", largest));
    }
    return number;
  }

  // Of images whose channels are in 0..1: the mean, or else the standard deviation.
  std::optional<std::array<double, 3>> channels(const char* key, bool is_std) const {
    if (!has(key)) return std::nullopt;
    const json& value = (*this)[key];
    std::array<double, 3> result{};
    bool possible = value.is_array() && value.size() == 3;
    for (size_t i = 0; possible && i < 3; ++i) {
      possible = value[i].is_number();
      if (possible) result[i] = value[i].get<double>();
      possible = possible && (is_std ? result[i] > 0 && std::isfinite(result[i])
                                     : result[i] >= 0 && result[i] <= 1);
    }
    if (!possible) refuse(key, is_std ? "three numbers above 0" : "three numbers of 0 to 1");
    return result;
  }

  // 224, [224, 224], or [3, 224, 224]: height and width
  std::optional<std::array<int64_t, 2>> image_size(const char* key) const {
    if (!has(key)) return std::nullopt;
    const json& value = (*this)[key];
    if (!value.is_array()) {
      const int64_t size = checked_count(key, value);
      return std::array<int64_t, 2>{size, size};
    }
    if (value.size() < 2 || value.size() > 3) refuse(key, "one, two or three whole numbers");
    return std::array<int64_t, 2>{checked_count(key, value[value.size() - 2]),
                                  checked_count(key, value.back())};
  }

 private:
  Section(std::string path, std::string key, json object)
      : path_(std::move(path)), key_(std::move(key)), object_(std::move(object)) {}

  int64_t checked_count(const char* key, const json& value) const {
    // Integers above 2^63 - 1 come out negative.
    const int64_t number = value.is_number_integer() ? json_integer(value) : 0;
    if (number < 1 || number > kLargest) refuse(key, concat("a whole number of 1..", kLargest));
    return number;
  }

  [[noreturn]] void refuse(const char* key, const std::string& expected) const {
    constexpr size_t kShown = 60;
    std::string found = (*this)[key].dump(-1, ' ', true, json::error_handler_t::replace);
    if (found.size() > kShown) found = found.substr(0, kShown) + "..";
    fail("\"", path_, "\": ", key_, key, " is ", found, "; ", expected, " expected");
  }

  std::string path_;
  std::string key_;  // "vision_config."
  json object_;
};

// "gelu": or "(no text)"
std::string text_of(const json& value) {
  return value.is_string() ? value.get<std::string>() : "(no text)";
}

// In the names of transformers and timm.
void read_activation(const Section& section, const char* key, ArchitectureHints& hints) {
  static const std::map<std::string, Activation> kNames = {
      {"gelu", Activation::kGelu},           {"gelu_pytorch_tanh", Activation::kGeluTanh},
      {"gelu_new", Activation::kGeluTanh},   {"gelu_tanh", Activation::kGeluTanh},
      {"silu", Activation::kSilu},           {"swish", Activation::kSilu},
      {"quick_gelu", Activation::kQuickGelu}};
  if (!section.has(key)) return;
  const std::string name = text_of(section[key]);
  if (const auto found = kNames.find(name); found != kNames.end()) {
    hints.activation = found->second;
  } else {
    hints.unknown["activation"] = concat(key, " ", quoted_name(name));
  }
}

// Weights that were trained with QuickGELU are also published under the name of a model with GELU,
// with a note.
bool is_noted_as_quick_gelu(const Section& pretrained) {
  const std::string text = pretrained["notes"].dump(-1, ' ', false, json::error_handler_t::replace);
  return text.find("QuickGELU") != std::string::npos || text.find("quickgelu") != std::string::npos;
}

// Of timm's VisionTransformer, whose MLPs get the activation with a gate too; those of its Eva have
// SiLU there.
bool gate_has_activation(const std::string& architecture) {
  return !architecture.starts_with("eva") && architecture.find("_dinov3") == std::string::npos &&
         architecture.find("_lingbot") == std::string::npos;
}

// What a model computes beyond the usual, without a trace in its tensors.
void read_timm_layers(const Section& arguments, const std::string& architecture,
                      ArchitectureHints& hints) {
  for (const char* key :
       {"norm_layer", "embed_norm_layer", "mlp_layer", "attn_layer", "block_fn", "embed_layer"}) {
    if (!arguments.has(key)) continue;
    const std::string name = text_of(arguments[key]);
    if (key == std::string("norm_layer") && name == "layernorm") {
      hints.norm_eps = 1e-6;  // timm's default
    } else {
      fail(hints.source, " says ", key, " ", quoted_name(name),
           ", which this program doesn't know; without the file it takes what the tensors tell");
    }
  }
  if (arguments["use_post_norm"].is_boolean()) {
    hints.norm_place =
        arguments["use_post_norm"].get<bool>() ? NormPlace::kAfter : NormPlace::kBefore;
  }
  read_activation(arguments, "act_layer", hints);
  hints.states_gate = arguments.has("act_layer") && gate_has_activation(architecture);
}

void read_timm(const Section& config, ArchitectureHints& hints) {
  const std::string architecture = config["architecture"].get<std::string>();
  hints = hints_of_timm_name(architecture);
  hints.source = concat("config.json, ", quoted_name(architecture));
  const Section arguments = config.member("model_args");
  const Section pretrained = config.member("pretrained_cfg");
  hints.dim = config.count("num_features");
  hints.depth = arguments.count("depth");
  hints.heads = arguments.count("num_heads");
  if (arguments.has("reg_tokens")) hints.registers = arguments.count_or_none("reg_tokens");
  if (arguments["class_token"].is_boolean()) {
    hints.has_cls_token = arguments["class_token"].get<bool>();
  }
  hints.image = arguments.image_size("img_size");
  if (!hints.image) hints.image = pretrained.image_size("input_size");
  hints.mean = pretrained.channels("mean", false);
  hints.std = pretrained.channels("std", true);
  read_timm_layers(arguments, architecture, hints);
  if (!arguments.has("act_layer") && is_noted_as_quick_gelu(pretrained)) {
    hints.activation = Activation::kQuickGelu;
    hints.assumed.insert("activation");
    hints.source += ", whose notes say that the weights were trained with QuickGELU";
  }
}

void read_transformers(const Section& config, ArchitectureHints& hints) {
  const Section vision = config.has("vision_config") ? config.member("vision_config") : config;
  hints.dim = vision.count("hidden_size");
  hints.depth = vision.count("num_hidden_layers");
  hints.heads = vision.count("num_attention_heads");
  hints.norm_eps = vision.positive("layer_norm_eps", 1);
  read_activation(vision, "hidden_act", hints);
  hints.image = vision.image_size("image_size");
  const json& type = config.has("vision_config") ? vision["model_type"] : config["model_type"];
  hints.registers = vision.count_or_none("num_register_tokens");
  // Files leave out what is a class's default.
  if (!hints.registers && type == "dinov2_with_registers") hints.registers = 4;
  if (!hints.registers && type.is_string()) hints.registers = 0;
  if (config["model_type"] == "dinov3_vit") {
    hints.states_gate = true;  // DINOv2's gate is SiLU whatever is stated
    hints.rope = dinov3_rope();
    constexpr double kLargestBase = 1e12;
    hints.rope->base = vision.positive("rope_theta", kLargestBase).value_or(hints.rope->base);
  }
}

// open_clip's {"model_cfg": {"quick_gelu", "vision_cfg": {..}}, "preprocess_cfg": {..}}
void read_open_clip(const Section& config, ArchitectureHints& hints) {
  const Section model = config.member("model_cfg");
  const Section vision = model.member("vision_cfg");
  const Section preprocess = config.member("preprocess_cfg");
  if (vision["timm_model_name"].is_string()) {
    hints = hints_of_timm_name(vision["timm_model_name"].get<std::string>());
  } else {
    hints.activation = model["quick_gelu"] == true ? Activation::kQuickGelu : Activation::kGelu;
    hints.dim = vision.count("width");
    hints.depth = vision.count("layers");
    constexpr int64_t kHeadWidth = 64;  // open_clip's default
    const int64_t head_width = vision.count("head_width").value_or(kHeadWidth);
    if (hints.dim) hints.heads = *hints.dim / head_width;
  }
  hints.source = "open_clip_config.json";
  hints.image = vision.image_size("image_size");
  hints.mean = preprocess.channels("mean", false);
  hints.std = preprocess.channels("std", true);
}

}  // namespace

ArchitectureHints read_sidecar_files(const std::string& weights) {
  namespace fs = std::filesystem;
  const fs::path folder =
      fs::is_directory(weights) ? fs::path(weights) : fs::path(weights).parent_path();
  ArchitectureHints hints;
  if (const fs::path path = folder / "config.json"; fs::exists(path)) {
    const Section config(path);
    hints.source = "config.json";
    if (config.has("model_cfg")) {
      read_open_clip(config, hints);
    } else if (config["architecture"].is_string()) {
      read_timm(config, hints);
    } else {
      read_transformers(config, hints);
    }
  }
  if (const fs::path path = folder / "open_clip_config.json";
      hints.source.empty() && fs::exists(path)) {
    read_open_clip(Section(path), hints);
  }
  if (const fs::path path = folder / "preprocessor_config.json"; fs::exists(path)) {
    const Section config(path);
    if (hints.source.empty()) hints.source = "preprocessor_config.json";
    if (!hints.mean) hints.mean = config.channels("image_mean", false);
    if (!hints.std) hints.std = config.channels("image_std", true);
  }
  return hints;
}

}  // namespace last
