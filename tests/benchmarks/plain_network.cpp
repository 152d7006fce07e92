#include "tests/benchmarks/plain_network.h"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>

namespace last {
namespace {

at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  PlainAttention attention) {
  if (attention == PlainAttention::kFused) return at::scaled_dot_product_attention(q, k, v);
  const double scale = 1 / std::sqrt(static_cast<double>(q.size(-1)));
  return at::matmul(at::softmax(at::matmul(q * scale, k.transpose(-2, -1)), -1), v);
}

}  // namespace

double plain_step(const RandomBank& bank, PlainAttention attention) {
  const at::AutoGradMode with_gradients(true);
  const auto& backbone = bank.config.backbone;
  const auto& network = bank.config.network;
  const int64_t batch = bank.batch(), tokens = backbone.tokens, dim = backbone.dim;
  const int64_t r = network.rank, h = network.heads;

  std::vector<at::Tensor> leaves;
  const auto leaf = [&](const at::Tensor& t) {
    leaves.push_back(t.detach().set_requires_grad(true));
    return leaves.back();
  };
  const Parameters& p = bank.parameters;
  auto prefix = bank.features.select(1, 0).to(at::kFloat);
  auto d = at::zeros_like(prefix);
  for (int64_t i = 0; i < backbone.depth; ++i) {
    prefix = prefix + bank.features.select(1, i + 1).to(at::kFloat);
    const auto x = at::layer_norm(prefix + d, {dim}, leaf(p.norm_weight[0][i]),
                                  leaf(p.norm_bias[0][i]), kModuleNormEps);
    const auto qkv = at::matmul(x, leaf(p.qkv_weight[0][i]))
                         .reshape({batch, tokens, 3, h, r / h})
                         .permute({2, 0, 3, 1, 4});
    const auto o = attend(qkv[0], qkv[1], qkv[2], attention).transpose(1, 2);
    d = d + at::matmul(o.reshape({batch, tokens, r}), leaf(p.up_weight[0][i]));
  }
  const auto output = bank.features.select(1, backbone.depth).to(at::kFloat) + d;
  const auto pooled = output.narrow(1, 1, tokens - 1).mean(1);
  const auto normed =
      at::layer_norm(pooled, {dim}, backbone.norm_weight, backbone.norm_bias, backbone.norm_eps);
  const auto logits = at::linear(normed, leaf(p.head_weight[0]), leaf(p.head_bias[0]));
  const auto loss = at::cross_entropy_loss(logits, bank.labels[0].to(at::kLong));
  torch::autograd::grad({loss}, leaves);
  return loss.item<double>();
}

}  // namespace last
