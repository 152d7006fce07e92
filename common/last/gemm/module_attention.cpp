#include "common/last/gemm/module_attention.h"

#include <ATen/ops/empty.h>

#include "common/last/gemm/attention.h"

namespace last::gemm {

bool ModuleContext::fused_attention(const c10::Device& device) const {
  return attention == AttentionKernel::kFused &&
         fused_attention_fits(device, shape.head_dim(), products.own_type());
}

at::ScalarType ModuleContext::attention_type(const c10::Device& device) const {
  return fused_attention(device) ? products.own_type() : at::kFloat;
}

ModuleAttention::ModuleAttention(const ModuleContext& context, const c10::Device& device,
                                 int64_t networks, int64_t images)
    : shape_(context.shape),
      networks_(networks),
      images_(images),
      fused_(context.fused_attention(device)),
      max_bytes_(context.attention_max_bytes),
      options_(at::TensorOptions(device).dtype(context.attention_type(device))) {}

at::Tensor ModuleAttention::make_qkv() const {
  const int64_t h = shape_.heads, d = shape_.head_dim(), n = shape_.tokens;
  return fused_ ? at::empty({networks_ * images_, n, 3, h, d}, options_)
                : at::empty({3, networks_ * images_ * h, d, n}, options_);
}

at::Tensor ModuleAttention::make_output() const {
  const int64_t h = shape_.heads, d = shape_.head_dim(), n = shape_.tokens;
  return fused_ ? at::empty({networks_ * images_, n, h, d}, options_)
                : at::empty({networks_ * images_ * h, d, n}, options_);
}

// [K B, n, h, d] -> [K, r, B, n]
at::Tensor ModuleAttention::token_major_rows(const at::Tensor& t) const {
  return t.view({networks_, images_, shape_.tokens, shape_.rank}).permute({0, 3, 1, 2});
}

QkvRows ModuleAttention::qkv_rows(const at::Tensor& qkv) const {
  QkvRows rows;
  for (int64_t part = 0; part < 3; ++part) {
    rows[static_cast<size_t>(part)] =
        fused_ ? token_major_rows(qkv.select(2, part)) : output_rows(qkv.select(0, part));
  }
  return rows;
}

at::Tensor ModuleAttention::output_rows(const at::Tensor& output) const {
  if (fused_) return token_major_rows(output);
  return output.view({networks_, images_, shape_.rank, shape_.tokens}).transpose(1, 2);
}

at::Tensor ModuleAttention::forward(AttentionState& state) const {
  return output_rows(fused_ ? gemm::fused_attention(state.qkv, state.fused)
                            : attention(state.qkv, max_bytes_));
}

QkvRows ModuleAttention::backward(const AttentionState& state, const at::Tensor& d_output) const {
  if (!fused_) return qkv_rows(attention_backward(state.qkv, d_output, max_bytes_));
  auto d_qkv = fused_attention_backward(state.qkv, state.fused, d_output);
  for (auto& gradient : d_qkv) gradient = token_major_rows(gradient.contiguous());
  return d_qkv;
}

}  // namespace last::gemm
