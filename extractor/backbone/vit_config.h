#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include "extractor/backbone/patch_resampling.h"
#include "extractor/backbone/position_embedding.h"
#include "extractor/backbone/rope.h"

namespace last {

enum class Activation {
  kGelu,       // x Phi(x), with erf
  kGeluTanh,   // its tanh approximation
  kQuickGelu,  // x sigmoid(1.702 x), OpenAI's CLIP
  kSilu,       // x sigmoid(x), of gated MLPs
};

enum class Mlp {
  kPlain,  // fc2(act(fc1 x))
  kGated,  // fc2(act(a) * b), [a, b] = fc1 x (SwiGLU)
};

// Where a block's norms are.
enum class NormPlace {
  kBefore,  // x += attention(norm1 x);  x += mlp(norm2 x)
  kAfter,   // x += norm1(attention(x));  x += norm2(mlp(x)), EVA-02's enormous model
};

// The shape of a ViT and the functions in it. What a checkpoint may or may not have (LayerScale,
// biases, norms inside attention and MLP, where position embeddings are added) is dealt with once,
// when weights are prepared (vit_weights.h), and is no option here.
struct VitConfig {
  int64_t dim = 0;
  int64_t depth = 0;
  int64_t heads = 0;
  int64_t mlp_hidden = 0;
  int64_t patch_height = 0;  // pixels
  int64_t patch_width = 0;
  bool patch_resampled = false;  // from what the checkpoint has, as patch_resampling says
  PatchResampling patch_resampling = PatchResampling::kBicubic;
  int64_t image_height = 0;  // pixels, what maps() accepts
  int64_t image_width = 0;
  bool has_cls_token = false;
  int64_t prefix_tokens = 0;  // cls, distillation, registers, in this order
  Mlp mlp = Mlp::kPlain;
  Activation activation = Activation::kGelu;
  double norm_eps = 1e-6;
  NormPlace norm_place = NormPlace::kBefore;
  bool has_pos_embed = true;  // learnt position embeddings, resampled as pos_embed says
  PosEmbedMode pos_embed = PosEmbedMode::kTimm;
  RopeConfig rope;

  int64_t grid_height() const { return image_height / patch_height; }
  int64_t grid_width() const { return image_width / patch_width; }
  int64_t patches() const { return grid_height() * grid_width(); }
  int64_t head_dim() const { return heads == 0 ? 0 : dim / heads; }
  int64_t tokens() const { return prefix_tokens + patches(); }
  // "vit 12x192, 3 heads, patch 16, 224x224"
  std::string name() const;
};

std::string to_string(Activation value);
// "gelu", "gelu-tanh", "quick-gelu"; anything else is a UsageError.
Activation parse_activation(const std::string& name);

nlohmann::json to_json(const VitConfig& config);

}  // namespace last
