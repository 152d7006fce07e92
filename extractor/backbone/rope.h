#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>
#include <nlohmann/json.hpp>

namespace last {

// Rotary position embeddings of the patches: in every head, pairs of channels of queries and keys
// are rotated by angles that grow with the patch's place; the first half of the pairs by its row,
// the second by its column. Prefix tokens are not rotated.
enum class RopeKind {
  kNone,
  // Channels 2j, 2j + 1 are a pair. Place i of n is i * reference / n; pair j of P turns by
  // place * base^(-j / P).
  kEva,
  // Channels j, j + d / 2 are a pair. Place i of n is 2 (i + 1/2) / n - 1; pair j of P turns by
  // 2 pi place / period_j; period_j = base^(j / P).
  kDinov3,
};

struct RopeConfig {
  RopeKind kind = RopeKind::kNone;
  double base = 0;               // 10000 in EVA, 100 in DINOv3
  int64_t reference_height = 0;  // patches, only EVA: the grid of pre-training
  int64_t reference_width = 0;
};

RopeConfig eva_rope();  // reference grid 16x16
RopeConfig dinov3_rope();

nlohmann::json to_json(const RopeConfig& config);  // null without rotation

struct RopeTables {
  at::Tensor sin;  // fp32 [patches, head_dim / 2], row by row; undefined: no rotation
  at::Tensor cos;
};

// For a grid of patches. `periods`: fp32 [head_dim / 4] out of a DINOv3 checkpoint; undefined: by
// the formula. An Error where head_dim is no multiple of 4.
RopeTables make_rope_tables(const RopeConfig& config, int64_t head_dim, int64_t grid_height,
                            int64_t grid_width, const at::Tensor& periods);

// `x` [B, heads, prefix + patches, head_dim] of any float type, with the last patches rotated (in
// fp32). An image's result has x's type.
at::Tensor rotate_patches(const at::Tensor& x, const RopeTables& tables, RopeKind kind);

}  // namespace last
