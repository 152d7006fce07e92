#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace last::gemm {

// The same as attention.h with torch's fused kernels, which never write scores to memory: on CUDA
// the memory-efficient one for fp32 operands and the flash one for bf16, on the CPU the flash one.
// They want tokens before channels, so the operands are transposed, and head dimensions that CUDA's
// vector loads allow. `operands`: fp32, or bf16, to which q, k, v, probabilities, the output and
// all gradients are then rounded; sums and softmax are fp32 (on a CPU only q, k and v are rounded).
bool fused_attention_fits(const c10::Device& device, int64_t head_dim, at::ScalarType operands);

//   qkv fp32 [3, N, d, n]  ->  fp32 [N, d, n]
at::Tensor fused_attention(const at::Tensor& qkv, at::ScalarType operands);
//   d_output fp32 [N, d, n]  ->  gradient of qkv, fp32 [3, N, d, n]
at::Tensor fused_attention_backward(const at::Tensor& qkv, const at::Tensor& d_output,
                                    at::ScalarType operands);

// What the backward pass allocates for `count` (network, image, head).
int64_t fused_attention_bytes(int64_t count, int64_t tokens, int64_t head_dim);

}  // namespace last::gemm
