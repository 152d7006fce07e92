#include "extractor/backbone/vit_config.h"

#include "common/error.h"

namespace last {
namespace {

// "16", or "16x8" (width x height, as on the command line)
std::string size_text(int64_t height, int64_t width) {
  return height == width ? std::to_string(width) : concat(width, "x", height);
}

}  // namespace

std::string VitConfig::name() const {
  return concat("vit ", depth, "x", dim, ", ", heads, " heads, patch ",
                size_text(patch_height, patch_width), ", ", image_width, "x", image_height);
}

std::string to_string(Activation value) {
  switch (value) {
    case Activation::kGelu:
      return "gelu";
    case Activation::kGeluTanh:
      return "gelu-tanh";
    case Activation::kQuickGelu:
      return "quick-gelu";
    case Activation::kSilu:
      return "silu";
  }
  fail("an activation without a name");
}

Activation parse_activation(const std::string& name) {
  for (const Activation value :
       {Activation::kGelu, Activation::kGeluTanh, Activation::kQuickGelu}) {
    if (name == to_string(value)) return value;
  }
  fail_usage("--activation ", name, ": auto, gelu, gelu-tanh or quick-gelu expected");
}

nlohmann::json to_json(const VitConfig& config) {
  return {{"dim", config.dim},
          {"depth", config.depth},
          {"heads", config.heads},
          {"mlp_hidden", config.mlp_hidden},
          {"mlp", config.mlp == Mlp::kPlain ? "plain" : "gated"},
          {"patch", {config.patch_height, config.patch_width}},
          {"patch_resampling", config.patch_resampled
                                   ? nlohmann::json(to_string(config.patch_resampling))
                                   : nlohmann::json(nullptr)},
          {"image", {config.image_height, config.image_width}},
          {"has_cls_token", config.has_cls_token},
          {"prefix_tokens", config.prefix_tokens},
          {"activation", to_string(config.activation)},
          {"norm_eps", config.norm_eps},
          {"norm_place", config.norm_place == NormPlace::kBefore ? "before" : "after"},
          {"pos_embed", config.has_pos_embed ? nlohmann::json(to_string(config.pos_embed))
                                             : nlohmann::json(nullptr)},
          {"rope", to_json(config.rope)}};
}

}  // namespace last
