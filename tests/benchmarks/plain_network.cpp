#include "tests/benchmarks/plain_network.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>

#include <ATen/Parallel.h>
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

struct PlainStep {
  double loss;  // of these images, as a share of the whole batch's mean
  std::vector<at::Tensor> gradients;
};

// Images first .. first + count - 1 of the batch.
PlainStep step_on(const RandomBank& bank, int64_t first, int64_t count, PlainAttention attention) {
  const at::AutoGradMode with_gradients(true);
  const auto& backbone = bank.config.backbone;
  const auto& network = bank.config.network;
  const int64_t tokens = backbone.tokens, dim = backbone.dim;
  const int64_t r = network.rank, h = network.heads;
  const auto features = bank.features.narrow(0, first, count);

  std::vector<at::Tensor> leaves;
  const auto leaf = [&](const at::Tensor& t) {
    leaves.push_back(t.detach().set_requires_grad(true));
    return leaves.back();
  };
  const Parameters& p = bank.parameters;
  auto prefix = features.select(1, 0).to(at::kFloat);
  auto d = at::zeros_like(prefix);
  for (int64_t i = 0; i < backbone.depth; ++i) {
    prefix = prefix + features.select(1, i + 1).to(at::kFloat);
    const auto x = at::layer_norm(prefix + d, {dim}, leaf(p.norm_weight[0][i]),
                                  leaf(p.norm_bias[0][i]), kModuleNormEps);
    const auto qkv = at::matmul(x, leaf(p.qkv_weight[0][i]))
                         .reshape({count, tokens, 3, h, r / h})
                         .permute({2, 0, 3, 1, 4});
    const auto o = attend(qkv[0], qkv[1], qkv[2], attention).transpose(1, 2);
    d = d + at::matmul(o.reshape({count, tokens, r}), leaf(p.up_weight[0][i]));
  }
  const auto output = features.select(1, backbone.depth).to(at::kFloat) + d;
  const auto pooled = output.narrow(1, 1, tokens - 1).mean(1);
  const auto normed =
      at::layer_norm(pooled, {dim}, backbone.norm_weight, backbone.norm_bias, backbone.norm_eps);
  const auto logits = at::linear(normed, leaf(p.head_weight[0]), leaf(p.head_bias[0]));
  const auto loss =
      at::cross_entropy_loss(logits, bank.labels[0].narrow(0, first, count).to(at::kLong)) *
      (static_cast<double>(count) / static_cast<double>(bank.batch()));
  auto gradients = torch::autograd::grad({loss}, leaves);
  return {loss.item<double>(), std::move(gradients)};
}

void add(PlainStep& sum, const PlainStep& step) {
  if (sum.gradients.empty()) {
    sum = step;
    return;
  }
  sum.loss += step.loss;
  for (size_t i = 0; i < step.gradients.size(); ++i) sum.gradients[i] += step.gradients[i];
}

}  // namespace

double plain_step(const RandomBank& bank, PlainAttention attention) {
  return step_on(bank, 0, bank.batch(), attention).loss;
}

double plain_tiled_step(const RandomBank& bank, PlainAttention attention, int threads) {
  constexpr int64_t kImages = 2;
  std::vector<PlainStep> sums(static_cast<size_t>(threads));
  std::atomic<int64_t> next = 0;
  std::vector<std::thread> workers;
  for (PlainStep& sum : sums) {
    workers.emplace_back([&] {
      at::set_num_threads(1);
      for (int64_t b = next.fetch_add(kImages); b < bank.batch(); b = next.fetch_add(kImages)) {
        add(sum, step_on(bank, b, std::min(kImages, bank.batch() - b), attention));
      }
    });
  }
  for (auto& worker : workers) worker.join();
  PlainStep total{0, {}};
  for (const PlainStep& sum : sums) {
    if (!sum.gradients.empty()) add(total, sum);
  }
  at::set_num_threads(threads);
  return total.loss;
}

}  // namespace last
