#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace last::gemm {

// The same as attention.h with torch's fused kernels, which never write scores to memory: on CUDA
// the memory-efficient one, on the CPU the flash one. They want tokens before channels, so the
// operands are transposed, and head dimensions that CUDA's vector loads allow.
bool fused_attention_fits(const c10::Device& device, int64_t head_dim);

//   qkv [3, N, d, n]  ->  [N, d, n]
at::Tensor fused_attention(const at::Tensor& qkv);
//   d_output [N, d, n]  ->  gradient of qkv, [3, N, d, n]
at::Tensor fused_attention_backward(const at::Tensor& qkv, const at::Tensor& d_output);

// What the backward pass allocates for `count` (network, image, head).
int64_t fused_attention_bytes(int64_t count, int64_t tokens, int64_t head_dim);

}  // namespace last::gemm
