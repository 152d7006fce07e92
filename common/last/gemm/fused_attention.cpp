#include "common/last/gemm/fused_attention.h"

#include <limits>
#include <tuple>

#include <ATen/Context.h>
#include <ATen/ops/_scaled_dot_product_efficient_attention.h>
#include <ATen/ops/_scaled_dot_product_efficient_attention_backward.h>
#include <ATen/ops/_scaled_dot_product_flash_attention.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_backward.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>

#include "common/last/gemm/cuda_kernels.h"

namespace last::gemm {
namespace {

constexpr double kScale = 1;  // 1/sqrt(d) is in q already

int64_t round_up(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

// Where the flash kernel adds dQ up, in floats.
int64_t flash_sums(int64_t tokens, int64_t head_dim) {
  return round_up(tokens, 128) * round_up(head_dim, head_dim <= 128 ? 32 : 64);
}

// q, k, v as [N, h, n, d].
struct Operands {
  explicit Operands(const at::Tensor& qkv) {
    const auto all = (qkv.is_cpu() ? qkv.to(at::kFloat) : qkv).permute({2, 0, 3, 1, 4});
    q = all[0], k = all[1], v = all[2];
  }
  at::Tensor q, k, v;
};

// CUDA's kernels add gradients up over blocks of keys in whatever order these are done, unless
// torch is asked for the same bits every time. Not asked for where there is nothing to order: the
// flash kernel's first two blocks are added to zero, and the other kernel's first is the only one.
class SameBits {
 public:
  explicit SameBits(const at::Tensor& q)
      : context_(at::globalContext()),
        before_(context_.deterministicAlgorithms()),
        warn_before_(context_.deterministicAlgorithmsWarnOnly()),
        fill_before_(context_.deterministicFillUninitializedMemory()) {
    const int64_t tokens = q.size(2);
    const bool flash = q.scalar_type() != at::kFloat;
    if (tokens <= (flash && q.size(3) <= 96 ? 256 : 64)) return;
    context_.setDeterministicAlgorithms(true, false);
    context_.setDeterministicFillUninitializedMemory(false);
  }
  ~SameBits() {
    context_.setDeterministicAlgorithms(before_, warn_before_);
    context_.setDeterministicFillUninitializedMemory(fill_before_);
  }
  SameBits(const SameBits&) = delete;
  SameBits& operator=(const SameBits&) = delete;

 private:
  at::Context& context_;
  bool before_, warn_before_, fill_before_;
};

using Gradients = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

Gradients gradients_of(const Operands& t, const FusedAttentionState& state, const at::Tensor& d_o) {
  if (t.q.is_cpu()) {
    return at::_scaled_dot_product_flash_attention_for_cpu_backward(
        d_o, t.q, t.k, t.v, state.output, state.log_sum, 0, false, {}, kScale);
  }
  const SameBits same_bits(t.q);
  if (t.q.scalar_type() == at::kFloat) {
    const auto [d_q, d_k, d_v, d_bias] = at::_scaled_dot_product_efficient_attention_backward(
        d_o, t.q, t.k, t.v, at::Tensor(), state.output, state.log_sum, state.seed, state.offset, 0,
        {true, true, true, false}, false, kScale);
    return {d_q, d_k, d_v};
  }
  return at::_scaled_dot_product_flash_attention_backward(
      d_o, t.q, t.k, t.v, state.output, state.log_sum, state.ends_q, state.ends_k, state.longest_q,
      state.longest_k, 0, false, state.seed, state.offset, kScale);
}

}  // namespace

bool fused_attention_fits(const c10::Device& device, int64_t head_dim, at::ScalarType operands) {
  if (!device.is_cuda()) return true;
  return operands == at::kFloat ? head_dim % 4 == 0 : head_dim % 8 == 0 && head_dim <= 192;
}

bool fused_attention_can_index(int64_t batch, int64_t heads, int64_t tokens, int64_t head_dim) {
  // The flash kernel finds its place in dQ's sums with 32 bits.
  return batch <= kMostBlocks &&
         batch * heads * flash_sums(tokens, head_dim) < std::numeric_limits<int32_t>::max();
}

at::Tensor fused_attention(const at::Tensor& qkv, FusedAttentionState& state) {
  const Operands t(qkv);
  if (qkv.is_cpu()) {
    std::tie(state.output, state.log_sum) =
        at::_scaled_dot_product_flash_attention_for_cpu(t.q, t.k, t.v, 0, false, {}, kScale);
  } else if (qkv.scalar_type() == at::kFloat) {
    std::tie(state.output, state.log_sum, state.seed, state.offset) =
        at::_scaled_dot_product_efficient_attention(t.q, t.k, t.v, {}, /*compute_log_sumexp=*/true,
                                                    0, false, kScale);
  } else {
    auto [o, log_sum, ends_q, ends_k, longest_q, longest_k, seed, offset, mask] =
        at::_scaled_dot_product_flash_attention(t.q, t.k, t.v, 0, false, false, kScale);
    state = {
        o, log_sum, ends_q, ends_k, seed, offset, longest_q.expect_int(), longest_k.expect_int()};
  }
  return state.output.transpose(1, 2).to(qkv.scalar_type());
}

std::array<at::Tensor, 3> fused_attention_backward(const at::Tensor& qkv,
                                                   const FusedAttentionState& state,
                                                   const at::Tensor& d_output) {
  const auto d_o = d_output.to(state.output.scalar_type()).transpose(1, 2);
  const auto [d_q, d_k, d_v] = gradients_of(Operands(qkv), state, d_o);
  const auto finish = [&](const at::Tensor& t) { return t.transpose(1, 2).to(qkv.scalar_type()); };
  return {finish(d_q), finish(d_k), finish(d_v)};
}

int64_t fused_attention_bytes(int64_t count, int64_t tokens, int64_t head_dim) {
  // The gradients of q, k and v, sums over rows, and where the flash kernel adds dQ up; on a CPU
  // with bf16 operands these and o as fp32, too.
  const int64_t floats =
      tokens * (8 * head_dim + 2) + round_up(tokens, 128) + flash_sums(tokens, head_dim);
  return count * floats * static_cast<int64_t>(sizeof(float));
}

}  // namespace last::gemm
