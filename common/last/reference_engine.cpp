#include <limits>
#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/nonzero.h>
#include <torch/csrc/autograd/autograd.h>

#include "common/last/engine.h"
#include "common/last/network.h"

namespace last {
namespace {

// Network k with gradients switched on, as leaves of their own.
Parameters leaves(const Parameters& parameters, int64_t k) {
  Parameters p = parameters.network(k).clone();
  for (auto& [name, tensor] : p.named()) tensor.set_requires_grad(true);
  return p;
}

class ReferenceEngine final : public Engine {
 public:
  explicit ReferenceEngine(BankConfig config) : config_(std::move(config)) {
    check_network_config(config_.network, config_.backbone);
  }

  const BankConfig& config() const override { return config_; }

  BatchResult forward_backward(const at::Tensor& features, const at::Tensor& labels,
                               const std::vector<uint8_t>& active, const Parameters& parameters,
                               Parameters& gradients) override {
    const auto networks = static_cast<size_t>(config_.networks());
    BatchResult result{std::vector<double>(networks, 0), std::vector<int64_t>(networks, 0),
                       std::vector<int64_t>(networks, 0)};
    for (size_t k = 0; k < networks; ++k) {
      if (active[k] != 0)
        step(features, labels[static_cast<int64_t>(k)], parameters, k, gradients, result);
    }
    return result;
  }

  at::Tensor logits(const at::Tensor& features, const std::vector<uint8_t>& active,
                    const Parameters& parameters) override {
    const at::NoGradGuard no_gradients;
    auto all = at::full({config_.networks(), features.size(0), parameters.head_bias.size(1)},
                        -std::numeric_limits<double>::infinity(), parameters.head_bias.options());
    for (int64_t k = 0; k < config_.networks(); ++k) {
      const auto index = static_cast<size_t>(k);
      if (active[index] == 0) continue;
      all[k]
          .narrow(1, 0, config_.classes[index])
          .copy_(network_logits(features, parameters.network(k), config_.classes[index]));
    }
    return all;
  }

 private:
  at::Tensor network_logits(const at::Tensor& features, const Parameters& p,
                            int64_t classes) const {
    const auto output = side_network(features, p, config_.network, config_.backbone);
    return head(output, p, config_.network, config_.backbone).narrow(1, 0, classes);
  }

  void step(const at::Tensor& features, const at::Tensor& labels, const Parameters& parameters,
            size_t k, Parameters& gradients, BatchResult& result) const {
    const auto target = gradients.network(static_cast<int64_t>(k)).named();
    const auto rows = at::nonzero(labels >= 0).squeeze(1);  // unlabelled rows have no loss
    result.labelled[k] = rows.size(0);
    if (rows.size(0) == 0) {
      result.loss[k] = std::numeric_limits<double>::quiet_NaN();
      for (const auto& [name, tensor] : target) tensor.zero_();
      return;
    }
    const at::AutoGradMode with_gradients(true);
    const auto known = labels.index_select(0, rows).to(at::kLong);
    const Parameters p = leaves(parameters, static_cast<int64_t>(k));
    const auto logits = network_logits(features.index_select(0, rows), p, config_.classes[k]);

    // Cross-entropy against (1 - s) onehot + s / C.
    const double s = config_.label_smoothing[k];
    const auto log_probability = at::log_softmax(logits, 1);
    const auto of_label = log_probability.gather(1, known.unsqueeze(1)).squeeze(1);
    const auto loss = -(of_label * (1 - s) + log_probability.mean(1) * s).mean();
    result.loss[k] = loss.item<double>();
    result.correct[k] = (logits.argmax(1) == known).sum().item<int64_t>();

    std::vector<at::Tensor> inputs;
    for (const auto& [name, tensor] : p.named()) inputs.push_back(tensor);
    const auto grads = torch::autograd::grad({loss}, inputs);
    for (size_t i = 0; i < inputs.size(); ++i) target[i].second.copy_(grads[i]);
  }

  BankConfig config_;
};

}  // namespace

std::unique_ptr<Engine> make_reference_engine(BankConfig config) {
  return std::make_unique<ReferenceEngine>(std::move(config));
}

}  // namespace last
