#pragma once

#include <array>
#include <cstdint>

#include <ATen/core/Tensor.h>

namespace last::gemm {

// The same as attention.h with torch's fused kernels, which never write scores to memory: on CUDA
// the memory-efficient one for fp32 operands and the flash one for bf16, on the CPU the flash one.
// They want tokens before channels, and head dimensions that CUDA's vector loads allow. With bf16
// operands probabilities, output and gradients are rounded to bf16, too; sums and softmax are fp32
// (on a CPU only operands and results are rounded).
bool fused_attention_fits(const c10::Device& device, int64_t head_dim, at::ScalarType operands);

// Whether CUDA's kernels find their way in N = `batch` (network, image), with h heads each.
bool fused_attention_can_index(int64_t batch, int64_t heads, int64_t tokens, int64_t head_dim);

// What the backward pass needs of the forward pass.
struct FusedAttentionState {
  at::Tensor output;          // [N, h, n, d]
  at::Tensor log_sum;         // of the exponentials
  at::Tensor ends_q, ends_k;  // flash on CUDA only: sequences of their own lengths, not used here
  at::Tensor seed, offset;    // of the dropout, which is zero
  int64_t longest_q = 0, longest_k = 0;
};

//   qkv [N, n, 3, h, d], fp32 or bf16  ->  [N, n, h, d]
at::Tensor fused_attention(const at::Tensor& qkv, FusedAttentionState& state);
//   d_output [N, n, h, d]  ->  gradients of q, k and v, each [N, n, h, d]
std::array<at::Tensor, 3> fused_attention_backward(const at::Tensor& qkv,
                                                   const FusedAttentionState& state,
                                                   const at::Tensor& d_output);

// What the backward pass allocates for `count` (network, image, head) beside its arguments.
int64_t fused_attention_bytes(int64_t count, int64_t tokens, int64_t head_dim);

}  // namespace last::gemm
