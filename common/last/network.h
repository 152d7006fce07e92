#pragma once

#include <ATen/core/Tensor.h>

#include "common/backbone_info.h"
#include "common/last/config.h"
#include "common/last/parameters.h"

namespace last {

// The definition of LAST (Low-rank Attention Side-Tuning, arXiv 2402.04009), in plain tensor
// operations on one network: short enough to be checked by eye against the equations.
// Differentiable by autograd.

// One LSA module's branch: f(X) - X = softmax(Q K^T / sqrt(d)) V A_up of the paper's
// f(X) = X + attention(LN(X)).
//   x [B, n, D]; p one network's parameters; module its index in 0..M-1  ->  [B, n, D]
at::Tensor attention_branch(const at::Tensor& x, const Parameters& p, int64_t module,
                            const NetworkConfig& config);

// The side network's output for the maps z_0, z_g, .., z_N: u_m - sum_{i<m} z_i, computed as
// z_m + D_m; without bias correction P_m + D_m. A linear probe's output is z_N.
//   features [B, layers, n, D] in any dtype  ->  fp32 [B, n, D]
at::Tensor side_network(const at::Tensor& features, const Parameters& p,
                        const NetworkConfig& config, const BackboneInfo& backbone);

// Pool, final norm, Linear: [B, n, D] -> logits [B, C].
at::Tensor head(const at::Tensor& output, const Parameters& p, const NetworkConfig& config,
                const BackboneInfo& backbone);

}  // namespace last
