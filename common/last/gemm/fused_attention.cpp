#include "common/last/gemm/fused_attention.h"

#include <algorithm>
#include <functional>
#include <tuple>

#include <ATen/Context.h>
#include <ATen/ops/_scaled_dot_product_efficient_attention.h>
#include <ATen/ops/_scaled_dot_product_efficient_attention_backward.h>
#include <ATen/ops/_scaled_dot_product_flash_attention.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_backward.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

namespace last::gemm {
namespace {

constexpr double kScale = 1;                // 1/sqrt(d) is in q already
constexpr int64_t kLargestBatch = 1 << 15;  // below CUDA's 65535 blocks in one direction
constexpr int64_t kKeyBlock = 128;          // of the flash kernel

// [3, N, d, n] -> q, k, v as [N, 1, n, d]: every head is a batch entry of its own.
struct TokenMajor {
  TokenMajor(const at::Tensor& qkv, at::ScalarType operands)
      : all(qkv.transpose(2, 3)
                .to(operands, false, true, at::MemoryFormat::Contiguous)
                .unsqueeze(2)) {
    if (qkv.is_cpu()) all = all.to(at::kFloat);
    q = all[0], k = all[1], v = all[2];
  }
  at::Tensor all, q, k, v;
};

// [N, 1, n, d] -> [N, d, n]
at::Tensor channel_major(const at::Tensor& t) { return t.squeeze(1).transpose(1, 2); }

using Gradients = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

at::Tensor output_of(const TokenMajor& t) {
  if (t.q.is_cpu()) {
    return std::get<0>(
        at::_scaled_dot_product_flash_attention_for_cpu(t.q, t.k, t.v, 0, false, {}, kScale));
  }
  if (t.q.scalar_type() == at::kFloat) {
    return std::get<0>(
        at::_scaled_dot_product_efficient_attention(t.q, t.k, t.v, {}, false, 0, false, kScale));
  }
  return std::get<0>(
      at::_scaled_dot_product_flash_attention(t.q, t.k, t.v, 0, false, false, kScale));
}

// The flash kernel adds dQ up over blocks of 128 keys, each with an atomic addition: from three
// blocks on the order shows, unless torch is asked for the same bits every time.
class SameBits {
 public:
  explicit SameBits(int64_t tokens)
      : before_(at::globalContext().deterministicAlgorithms()),
        warn_before_(at::globalContext().deterministicAlgorithmsWarnOnly()) {
    if (tokens > 2 * kKeyBlock) at::globalContext().setDeterministicAlgorithms(true, false);
  }
  ~SameBits() { at::globalContext().setDeterministicAlgorithms(before_, warn_before_); }
  SameBits(const SameBits&) = delete;
  SameBits& operator=(const SameBits&) = delete;

 private:
  bool before_, warn_before_;
};

Gradients gradients_of(const TokenMajor& t, const at::Tensor& d_o) {
  if (t.q.is_cpu()) {
    const auto [o, log_sum] =
        at::_scaled_dot_product_flash_attention_for_cpu(t.q, t.k, t.v, 0, false, {}, kScale);
    return at::_scaled_dot_product_flash_attention_for_cpu_backward(d_o, t.q, t.k, t.v, o, log_sum,
                                                                    0, false, {}, kScale);
  }
  if (t.q.scalar_type() == at::kFloat) {
    const auto [o, log_sum, seed, offset] = at::_scaled_dot_product_efficient_attention(
        t.q, t.k, t.v, {}, /*compute_log_sumexp=*/true, 0, false, kScale);
    const auto [d_q, d_k, d_v, d_bias] = at::_scaled_dot_product_efficient_attention_backward(
        d_o, t.q, t.k, t.v, at::Tensor(), o, log_sum, seed, offset, 0, {true, true, true, false},
        false, kScale);
    return {d_q, d_k, d_v};
  }
  const auto [o, log_sum, ends_q, ends_k, longest_q, longest_k, seed, offset, mask] =
      at::_scaled_dot_product_flash_attention(t.q, t.k, t.v, 0, false, false, kScale);
  const SameBits same_bits(t.q.size(2));
  return at::_scaled_dot_product_flash_attention_backward(
      d_o, t.q, t.k, t.v, o, log_sum, ends_q, ends_k, longest_q.expect_int(),
      longest_k.expect_int(), 0, false, seed, offset, kScale);
}

void for_each_part(int64_t count, const std::function<void(int64_t, int64_t)>& part) {
  for (int64_t first = 0; first < count; first += kLargestBatch) {
    part(first, std::min(kLargestBatch, count - first));
  }
}

}  // namespace

bool fused_attention_fits(const c10::Device& device, int64_t head_dim, at::ScalarType operands) {
  if (!device.is_cuda()) return true;
  return operands == at::kFloat ? head_dim % 4 == 0 : head_dim % 8 == 0 && head_dim <= 256;
}

at::Tensor fused_attention(const at::Tensor& qkv, at::ScalarType operands) {
  auto output = at::empty(qkv.sizes().slice(1), qkv.options());
  for_each_part(qkv.size(1), [&](int64_t first, int64_t size) {
    const TokenMajor t(qkv.narrow(1, first, size), operands);
    output.narrow(0, first, size).copy_(channel_major(output_of(t)));
  });
  return output;
}

at::Tensor fused_attention_backward(const at::Tensor& qkv, const at::Tensor& d_output,
                                    at::ScalarType operands) {
  auto d_qkv = at::empty_like(qkv);
  for_each_part(qkv.size(1), [&](int64_t first, int64_t size) {
    const TokenMajor t(qkv.narrow(1, first, size), operands);
    const auto d_o = d_output.narrow(0, first, size)
                         .transpose(1, 2)
                         .to(t.q.scalar_type(), false, true, at::MemoryFormat::Contiguous)
                         .unsqueeze(1);
    const auto [d_q, d_k, d_v] = gradients_of(t, d_o);
    const auto target = d_qkv.narrow(1, first, size);
    target[0].copy_(channel_major(d_q));
    target[1].copy_(channel_major(d_k));
    target[2].copy_(channel_major(d_v));
  });
  return d_qkv;
}

int64_t fused_attention_bytes(int64_t count, int64_t tokens, int64_t head_dim) {
  const auto up = [](int64_t value, int64_t to) { return (value + to - 1) / to * to; };
  // q, k, v, o, their gradients, the sums of exponentials, and where the flash kernel adds dQ up
  const int64_t floats =
      tokens * (8 * head_dim + 2) + up(tokens, kKeyBlock) * (up(head_dim, 32) + 1);
  return std::min(count, kLargestBatch) * floats * static_cast<int64_t>(sizeof(float));
}

}  // namespace last::gemm
