#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace last {

// All that a side network needs to know of the frozen ViT. It travels in the feature store, so that
// a trainer never needs the backbone.
struct BackboneInfo {
  std::string name;            // e.g. "vit 12x192, 3 heads, patch 16, 224x224"
  std::string weights_sha256;  // of the checkpoint file, hexadecimal
  int64_t depth = 0;           // N, number of blocks
  int64_t dim = 0;             // D, channels
  int64_t tokens = 0;          // n, prefix tokens first, then patches row by row
  int64_t prefix_tokens = 0;   // cls, distillation and register tokens; cls is the first
  bool has_cls_token = false;
  int64_t grid_height = 0;  // patches
  int64_t grid_width = 0;
  std::vector<int64_t> layers;  // stored maps, ascending; 0 = z_0, i = raw stream after block i
  at::Tensor norm_weight;       // final norm, fp32 [D]
  at::Tensor norm_bias;         // fp32 [D]
  double norm_eps = 1e-6;
};

}  // namespace last
