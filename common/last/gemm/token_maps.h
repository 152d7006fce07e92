#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "common/backbone_info.h"
#include "common/last/config.h"
#include "common/last/gemm/shape.h"

namespace last::gemm {

// What all networks share of B images: constants, so nothing ever needs their gradient.
struct TokenMaps {
  // Per block, for the prefix sum P it reads: P_hat = (P - mean) / sqrt(var + eps), [L, D].
  std::vector<at::Tensor> normalized;
  // Per block tau = 1 / sqrt(var(P) + eps), fp32 [L].
  std::vector<at::Tensor> rstd;
  // The pooled tokens of z_m, or of P_m without bias correction, fp32 [B, D].
  at::Tensor pooled;
};

// features [B, layers, n, D] on the computing device, fp16, bf16 or fp32; sums are fp32, added in
// the order z_0, z_1, ..
TokenMaps make_token_maps(const at::Tensor& features, const NetworkConfig& config,
                          const BackboneInfo& backbone, const Shape& shape,
                          at::ScalarType operand_type);

}  // namespace last::gemm
