#include "extractor/backbone/block.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>

#include "common/error.h"

namespace last {
namespace {

at::Tensor apply(const LinearWeights& linear, const at::Tensor& x) {
  if (linear.bias.defined()) return at::linear(x, linear.weight, linear.bias);
  return at::linear(x, linear.weight);
}

at::Tensor activate(at::Tensor x, Activation activation) {
  switch (activation) {
    case Activation::kGelu:
      return at::gelu_(x);
    case Activation::kGeluTanh:
      return at::gelu_(x, "tanh");
    case Activation::kQuickGelu:
      return x.mul_(at::sigmoid(x.mul(1.702)));
    case Activation::kSilu:
      return at::silu(x);
  }
  fail("unknown activation");
}

NormWeights moved(const NormWeights& norm, c10::Device device) {
  return {norm.weight.to(device), norm.bias.to(device)};
}

LinearWeights moved(const LinearWeights& linear, c10::Device device, c10::ScalarType dtype) {
  LinearWeights result{linear.weight.to(device, dtype).contiguous(), {}};
  if (linear.bias.defined()) result.bias = linear.bias.to(device, dtype);
  return result;
}

}  // namespace

at::Tensor layer_norm(const at::Tensor& x, const NormWeights& norm, double eps) {
  return at::layer_norm(x, {x.size(-1)}, norm.weight, norm.bias, eps);
}

Block::Block(const VitConfig& config, const BlockWeights& weights, c10::Device device,
             c10::ScalarType precision)
    : weights_{moved(weights.norm1, device),           moved(weights.qkv, device, precision),
               moved(weights.proj, device, precision), moved(weights.norm2, device),
               moved(weights.fc1, device, precision),  moved(weights.fc2, device, precision)},
      heads_(config.heads),
      mlp_(config.mlp),
      activation_(config.activation),
      norm_eps_(config.norm_eps),
      precision_(precision) {}

void Block::forward(at::Tensor& x) const {
  x.add_(attention(layer_norm(x, weights_.norm1, norm_eps_).to(precision_)));
  x.add_(mlp(layer_norm(x, weights_.norm2, norm_eps_).to(precision_)));
}

at::Tensor Block::attention(const at::Tensor& x) const {
  const int64_t batch = x.size(0), tokens = x.size(1), dim = x.size(2);
  // q, k, v [B, heads, n, D / heads]
  const at::Tensor qkv = apply(weights_.qkv, x)
                             .view({batch, tokens, 3, heads_, dim / heads_})
                             .permute({2, 0, 3, 1, 4});
  // softmax(q k^T / sqrt(D / heads)) v
  const at::Tensor mixed =
      at::scaled_dot_product_attention(qkv.select(0, 0), qkv.select(0, 1), qkv.select(0, 2));
  return apply(weights_.proj, mixed.transpose(1, 2).reshape({batch, tokens, dim}));
}

at::Tensor Block::mlp(const at::Tensor& x) const {
  const at::Tensor hidden = apply(weights_.fc1, x);
  if (mlp_ == Mlp::kPlain) return apply(weights_.fc2, activate(hidden, activation_));
  const int64_t half = hidden.size(-1) / 2;
  const at::Tensor gate = activate(hidden.narrow(-1, 0, half), activation_);
  return apply(weights_.fc2, gate.mul(hidden.narrow(-1, half, half)));
}

}  // namespace last
