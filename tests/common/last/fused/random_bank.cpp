#include "tests/common/last/fused/random_bank.h"

#include <cmath>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>

namespace last {
namespace {

BackboneInfo make_backbone(const BankShape& shape, const at::Generator& random) {
  BackboneInfo backbone;
  backbone.name = "random";
  backbone.depth = shape.depth;
  backbone.dim = shape.dim;
  backbone.tokens = shape.tokens;
  backbone.prefix_tokens = shape.prefix_tokens;
  backbone.has_cls_token = shape.prefix_tokens > 0;
  for (int64_t i = 0; i <= shape.depth; ++i) backbone.layers.push_back(i);
  backbone.norm_weight = 1 + 0.2 * at::randn({shape.dim}, random);
  backbone.norm_bias = 0.2 * at::randn({shape.dim}, random);
  return backbone;
}

}  // namespace

RandomBank make_random_bank(const BankShape& shape, uint64_t seed) {
  const at::Generator random = at::detail::createCPUGenerator(seed);
  RandomBank bank;
  bank.config.backbone = make_backbone(shape, random);
  bank.config.network = shape.network;
  bank.config.classes = shape.classes;
  const auto networks = shape.classes.size();
  bank.config.label_smoothing =
      shape.smoothing.empty() ? std::vector<double>(networks, 0) : shape.smoothing;
  bank.active = shape.active.empty() ? std::vector<uint8_t>(networks, 1) : shape.active;
  int64_t most = 0;
  for (const int64_t classes : shape.classes) most = std::max(most, classes);
  const auto k = static_cast<int64_t>(networks);
  bank.parameters = make_parameters(k, shape.network, bank.config.backbone, most);
  for (auto& [name, tensor] : bank.parameters.named()) {
    const bool scale = name.find("norm_weight") != std::string::npos;
    const bool wide = name == "qkv_weight";
    const double spread = scale ? 0.2 : wide ? 1 / std::sqrt(static_cast<double>(shape.dim)) : 0.3;
    tensor.copy_(spread * at::randn(tensor.sizes(), random) + (scale ? 1 : 0));
  }
  for (int64_t i = 0; i < k; ++i) {  // padding is zero, as in a real bank
    const int64_t classes = shape.classes[static_cast<size_t>(i)];
    bank.parameters.head_weight[i].narrow(0, classes, most - classes).zero_();
    bank.parameters.head_bias[i].narrow(0, classes, most - classes).zero_();
  }
  bank.features = (0.3 + at::randn({shape.batch, shape.depth + 1, shape.tokens, shape.dim}, random))
                      .to(shape.type);
  bank.labels = at::randint(0, 1000000, {k, shape.batch}, random, at::kInt);
  for (int64_t i = 0; i < k; ++i) {
    bank.labels[i].remainder_(shape.classes[static_cast<size_t>(i)]);
    for (int64_t b = i; shape.unlabelled_every > 0 && b < shape.batch; b += shape.unlabelled_every)
      bank.labels[i][b] = -1;
  }
  return bank;
}

Step run_step(Engine& engine, const RandomBank& bank) {
  Step step;
  step.gradients = bank.parameters.zeros_like();
  for (auto& [name, tensor] : step.gradients.named()) tensor.fill_(7);
  step.result = engine.forward_backward(bank.features, bank.labels, bank.active, bank.parameters,
                                        step.gradients);
  step.logits = engine.logits(bank.features, bank.active, bank.parameters);
  return step;
}

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  const double largest = b.abs().max().item<double>();
  const double difference = (a - b).abs().max().item<double>();
  return difference == 0 ? 0 : difference / largest;
}

}  // namespace last
