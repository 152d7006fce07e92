#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "common/last/gemm/module_attention.h"
#include "common/last/gemm/token_maps.h"
#include "common/last/gemm/weights.h"

namespace last::gemm {

// The LSA modules of K networks on B images, exactly reformulated so that no activation has D
// channels. With x = P + sum_{j<i} O_j A_j the input of module i (O_j [n, s], A_j [s, D], bar:
// minus the mean over D, sigma = sqrt(var(P) + eps), tau = 1/sigma, P_hat = tau bar(P)):
//
//   kappa = (2 tau sum_j <O_j, P_hat bar(A_j)^T> + tau^2 q) / D,   q = |bar(sum_j O_j A_j)|^2
//   alpha = (1 + kappa)^(-1/2),   so that 1/sqrt(var(x) + eps) = tau alpha
//   S = W P_hat^T + tau sum_j (W bar(A_j)^T) O_j^T                 [3r, n]
//   [Q K V] = alpha S + c,   c = beta^T [A_Q A_K A_V] + bias
//
// P's own variance thus never enters a sum: kappa is relative to it, and large activations, or a
// few channels that outgrow all others, cost no digits. q grows from module to module,
//   q_{i+1} = q_i + <O_i, 2 u_i + H_ii O_i>,  u_i = sum_{j<i} H_ij O_j,  H_ij = bar(A_i) bar(A_j)^T
// whose terms are sums of at most r numbers each. var(x) >= 0 is kappa >= eps tau^2 - 1.
//
// What is not said to be fp32 below is of Products::own_type, the attention's operands aside.
struct ModuleState {
  at::Tensor products;   // [K, 3r + i s, L]  S, then G_j = bar(A_j) P_hat^T of all j < i
  at::Tensor alpha;      // fp32 [K, L]; undefined for module 0, where it is one
  at::Tensor gram_sums;  // [K, s, L]  u_i + H_ii O_i; undefined for the last module
  AttentionState attention;
};

struct Activations {
  at::Tensor branches;              // [K, M s, L]  O_0, O_1, ..; a bias' row is one
  std::vector<ModuleState> states;  // [M] where the backward pass is wanted, else empty
};

Activations modules_forward(const ModuleContext& context, const TokenMaps& maps,
                            const Weights& weights, bool keep_states);

// d_branches fp32 [K, M s, L]: the gradient that reaches the O's from the head; used up, as are the
// states. Adds to `gradient`.
void modules_backward(const ModuleContext& context, const TokenMaps& maps, const Weights& weights,
                      Activations& activations, at::Tensor& d_branches, Weights& gradient);

}  // namespace last::gemm
