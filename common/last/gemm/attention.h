#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace last::gemm {

// Multi-head attention of many (network, image, head) at once, channel-major: softmax(q^T k) with
// the scale 1/sqrt(d) already in q. Scores [n, n] exist for as many of them at a time as fit into
// max_bytes (at least one), and are computed again in the backward pass instead of being kept.

//   qkv [3, N, d, n]  ->  v softmax(q^T k)^T, [N, d, n]
at::Tensor attention(const at::Tensor& qkv, int64_t max_bytes);

//   gradient of the above with respect to qkv, [3, N, d, n]; d_output [N, d, n]
at::Tensor attention_backward(const at::Tensor& qkv, const at::Tensor& d_output, int64_t max_bytes);

// What the backward pass, the larger of the two, allocates for `count` (network, image, head).
int64_t attention_bytes(int64_t count, int64_t tokens);

}  // namespace last::gemm
