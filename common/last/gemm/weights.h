#pragma once

#include <ATen/core/Tensor.h>

#include "common/last/gemm/shape.h"
#include "common/last/parameters.h"

namespace last::gemm {

// The parameters of K networks in the form the products want (bar: minus the mean over D).
struct Weights {
  // Rows of module i: W_i = (diag(gamma) [A_Q / sqrt(d) | A_K | A_V])^T, then bar(A_i).
  at::Tensor stacked;       // [K, M, 3r + s, D]
  at::Tensor qkv_constant;  // [K, M, 3r]  beta^T [A_Q / sqrt(d) | A_K | A_V] + bias
  at::Tensor up;            // [K, M s, D] A_up of all modules
  at::Tensor up_centred;    // [K, M s, D] bar(A_up)
  // Every pair of modules' rows: X_ij = [W_i; bar(A_i)] bar(A_j)^T. Used where j <= i.
  at::Tensor cross;  // [K, M, 3r + s, M s]

  // The left side of module i's product with its P_hat: [W_i; bar(A_0); ..; bar(A_{i-1})].
  at::Tensor product_rows(int64_t module, const Shape& shape) const;  // [K, 3r + i s, D]
};

// p: K networks with at least one module.
Weights make_weights(const Parameters& p, const Shape& shape);

// Zeros like `weights`.
Weights zero_gradients(const Weights& weights);

// Adds the gradient of module i's product_rows to `gradient`.
void add_product_rows_gradient(Weights& gradient, const at::Tensor& rows, int64_t module,
                               const Shape& shape);

// The chain from the gradients of `weights` back to the parameters of the modules, written into
// `result` (the head's tensors are not touched). Uses up `gradient`.
void weights_backward(const Parameters& p, const Weights& weights, Weights& gradient,
                      const Shape& shape, Parameters& result);

}  // namespace last::gemm
