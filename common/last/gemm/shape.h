#pragma once

#include <cstdint>

#include "common/backbone_info.h"
#include "common/last/config.h"

namespace last::gemm {

// The sizes of a side network as this folder needs them. Letters in comments and shapes: K networks
// of a chunk, B images of a chunk, n tokens, L = B * n, D channels, r rank, h heads, d = r / h, M
// modules, s = r rows of A_up or, with biases, r + 1: the bias of the up-projection is one more row
// of A_up, and its column of O is one.
struct Shape {
  int64_t dim = 0;
  int64_t tokens = 0;
  int64_t rank = 0;
  int64_t heads = 1;
  int64_t modules_per_block = 1;
  int64_t blocks = 0;
  int64_t up_rows = 0;  // s
  // The pooled tokens: `pooled` of them from `first_pooled` on; every pool is a mean.
  int64_t first_pooled = 0;
  int64_t pooled = 1;

  int64_t head_dim() const { return rank / heads; }
  int64_t qkv_rows() const { return 3 * rank; }
  int64_t modules() const { return blocks * modules_per_block; }
  // Rows of module i in the product with P_i: W_i and all A_j before it.
  int64_t product_rows(int64_t module) const { return qkv_rows() + module * up_rows; }
  int64_t block_of(int64_t module) const { return module / modules_per_block; }
};

Shape make_shape(const NetworkConfig& config, const BackboneInfo& backbone);

}  // namespace last::gemm
