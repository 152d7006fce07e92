#include "common/last/gemm/fused_attention.h"

#include <algorithm>
#include <functional>
#include <tuple>

#include <ATen/ops/_scaled_dot_product_efficient_attention.h>
#include <ATen/ops/_scaled_dot_product_efficient_attention_backward.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

namespace last::gemm {
namespace {

constexpr double kScale = 1;                // 1/sqrt(d) is in q already
constexpr int64_t kLargestBatch = 1 << 15;  // below CUDA's 65535 blocks in one direction

// [3, N, d, n] -> q, k, v as [N, 1, n, d]: every head is a batch entry of its own.
struct TokenMajor {
  explicit TokenMajor(const at::Tensor& qkv)
      : all(qkv.transpose(2, 3).contiguous().unsqueeze(2)), q(all[0]), k(all[1]), v(all[2]) {}
  at::Tensor all, q, k, v;
};

// [N, 1, n, d] -> [N, d, n]
at::Tensor channel_major(const at::Tensor& t) { return t.squeeze(1).transpose(1, 2); }

void for_each_part(int64_t count, const std::function<void(int64_t, int64_t)>& part) {
  for (int64_t first = 0; first < count; first += kLargestBatch) {
    part(first, std::min(kLargestBatch, count - first));
  }
}

}  // namespace

bool fused_attention_fits(const c10::Device& device, int64_t head_dim) {
  return !device.is_cuda() || head_dim % 4 == 0;
}

at::Tensor fused_attention(const at::Tensor& qkv) {
  auto output = at::empty(qkv.sizes().slice(1), qkv.options());
  for_each_part(qkv.size(1), [&](int64_t first, int64_t size) {
    const TokenMajor t(qkv.narrow(1, first, size));
    const at::Tensor o = qkv.is_cuda()
                             ? std::get<0>(at::_scaled_dot_product_efficient_attention(
                                   t.q, t.k, t.v, {}, false, 0, false, kScale))
                             : std::get<0>(at::_scaled_dot_product_flash_attention_for_cpu(
                                   t.q, t.k, t.v, 0, false, {}, kScale));
    output.narrow(0, first, size).copy_(channel_major(o));
  });
  return output;
}

at::Tensor fused_attention_backward(const at::Tensor& qkv, const at::Tensor& d_output) {
  auto d_qkv = at::empty_like(qkv);
  for_each_part(qkv.size(1), [&](int64_t first, int64_t size) {
    const TokenMajor t(qkv.narrow(1, first, size));
    const auto d_o = d_output.narrow(0, first, size).transpose(1, 2).contiguous().unsqueeze(1);
    at::Tensor d_q, d_k, d_v;
    if (qkv.is_cuda()) {
      const auto [o, log_sum, seed, offset] = at::_scaled_dot_product_efficient_attention(
          t.q, t.k, t.v, {}, /*compute_log_sumexp=*/true, 0, false, kScale);
      at::Tensor d_bias;
      std::tie(d_q, d_k, d_v, d_bias) = at::_scaled_dot_product_efficient_attention_backward(
          d_o, t.q, t.k, t.v, at::Tensor(), o, log_sum, seed, offset, 0, {true, true, true, false},
          false, kScale);
    } else {
      const auto [o, log_sum] =
          at::_scaled_dot_product_flash_attention_for_cpu(t.q, t.k, t.v, 0, false, {}, kScale);
      std::tie(d_q, d_k, d_v) = at::_scaled_dot_product_flash_attention_for_cpu_backward(
          d_o, t.q, t.k, t.v, o, log_sum, 0, false, {}, kScale);
    }
    const auto target = d_qkv.narrow(1, first, size);
    target[0].copy_(channel_major(d_q));
    target[1].copy_(channel_major(d_k));
    target[2].copy_(channel_major(d_v));
  });
  return d_qkv;
}

int64_t fused_attention_bytes(int64_t count, int64_t tokens, int64_t head_dim) {
  // q, k, v, o, their gradients, and the sums of exponentials
  return std::min(count, kLargestBatch) * tokens * (8 * head_dim + 2) *
         static_cast<int64_t>(sizeof(float));
}

}  // namespace last::gemm
