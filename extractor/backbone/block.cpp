#include "extractor/backbone/block.h"

#include <utility>

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

}  // namespace

at::Tensor layer_norm(const at::Tensor& x, const NormWeights& norm, double eps) {
  return at::layer_norm(x, {x.size(-1)}, norm.weight, norm.bias, eps);
}

Block::Block(const VitConfig& config, BlockWeights weights, RopeTables rope)
    : weights_(std::move(weights)),
      rope_(std::move(rope)),
      rope_kind_(config.rope.kind),
      heads_(config.heads),
      mlp_(config.mlp),
      activation_(config.activation),
      norm_place_(config.norm_place),
      norm_eps_(config.norm_eps) {}

void Block::forward(at::Tensor& x) const {
  const c10::ScalarType precision = weights_.qkv.weight.scalar_type();
  if (norm_place_ == NormPlace::kBefore) {
    x.add_(attention(layer_norm(x, weights_.norm1, norm_eps_).to(precision)));
    x.add_(mlp(layer_norm(x, weights_.norm2, norm_eps_).to(precision)));
  } else {
    const auto norm = [&](const at::Tensor& y, const NormWeights& weights) {
      return layer_norm(y.to(c10::ScalarType::Float), weights, norm_eps_);
    };
    x.add_(norm(attention(x.to(precision)), weights_.norm1));
    x.add_(norm(mlp(x.to(precision)), weights_.norm2));
  }
}

at::Tensor Block::attention(const at::Tensor& x) const {
  const int64_t batch = x.size(0), tokens = x.size(1), dim = x.size(2);
  // q, k, v [B, heads, n, D / heads]
  const at::Tensor qkv = apply(weights_.qkv, x)
                             .view({batch, tokens, 3, heads_, dim / heads_})
                             .permute({2, 0, 3, 1, 4});
  at::Tensor q = qkv.select(0, 0), k = qkv.select(0, 1);
  if (rope_kind_ != RopeKind::kNone) {
    q = rotate_patches(q, rope_, rope_kind_);
    k = rotate_patches(k, rope_, rope_kind_);
  }
  // softmax(q k^T / sqrt(D / heads)) v
  const at::Tensor mixed = at::scaled_dot_product_attention(q, k, qkv.select(0, 2));
  return apply(weights_.proj, inner_norm(mixed.transpose(1, 2).reshape({batch, tokens, dim}),
                                         weights_.attention_norm));
}

at::Tensor Block::mlp(const at::Tensor& x) const {
  return apply(weights_.fc2, inner_norm(mlp_hidden(x), weights_.mlp_norm));
}

at::Tensor Block::mlp_hidden(const at::Tensor& x) const {
  const at::Tensor hidden = apply(weights_.fc1, x);
  if (mlp_ == Mlp::kPlain) return activate(hidden, activation_);
  const int64_t half = hidden.size(-1) / 2;
  return activate(hidden.narrow(-1, 0, half), activation_).mul(hidden.narrow(-1, half, half));
}

at::Tensor Block::inner_norm(const at::Tensor& x, const NormWeights& norm) const {
  if (!norm.defined()) return x;
  return layer_norm(x.to(c10::ScalarType::Float), norm, norm_eps_).to(x.scalar_type());
}

}  // namespace last
