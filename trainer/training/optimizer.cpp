#include "trainer/training/optimizer.h"

#include <cmath>
#include <string>
#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

namespace last {
namespace {

constexpr double kBeta1 = 0.9;
constexpr double kBeta2 = 0.999;
constexpr double kEps = 1e-8;

bool is_bias(const std::string& name) { return name.find("bias") != std::string::npos; }
bool is_head(const std::string& name) { return name.rfind("head_", 0) == 0; }

// The constants of one network's step, rounded to fp32 once.
struct StepConstants {
  float decay;       // 1 - lr * weight decay
  float step_size;   // lr / (1 - beta1^t)
  float root_scale;  // 1 / sqrt(1 - beta2^t)
};

void update_on_cpu(const StepConstants& c, int64_t size, const float* g, float* p, float* m,
                   float* v) {
  constexpr auto b1 = static_cast<float>(kBeta1);
  constexpr auto b2 = static_cast<float>(kBeta2);
  constexpr auto one_minus_b1 = static_cast<float>(1 - kBeta1);
  constexpr auto one_minus_b2 = static_cast<float>(1 - kBeta2);
  constexpr auto eps = static_cast<float>(kEps);
  for (int64_t i = 0; i < size; ++i) {
    m[i] = b1 * m[i] + one_minus_b1 * g[i];
    v[i] = b2 * v[i] + one_minus_b2 * (g[i] * g[i]);
    p[i] = p[i] * c.decay - c.step_size * m[i] / (std::sqrt(v[i]) * c.root_scale + eps);
  }
}

void update_with_torch(const StepConstants& c, const at::Tensor& g, at::Tensor p, at::Tensor m,
                       at::Tensor v) {
  m.mul_(kBeta1).add_(g, 1 - kBeta1);
  v.mul_(kBeta2).addcmul_(g, g, 1 - kBeta2);
  p.mul_(c.decay).addcdiv_(m, v.sqrt().mul_(c.root_scale).add_(kEps), -c.step_size);
}

}  // namespace

StackedAdamW::StackedAdamW(const Parameters& parameters)
    : first_moment_(parameters.zeros_like()),
      second_moment_(parameters.zeros_like()),
      steps_(static_cast<size_t>(parameters.head_weight.size(0)), 0) {}

void StackedAdamW::keep(const std::vector<int64_t>& networks, int64_t classes) {
  first_moment_ = first_moment_.networks(networks, classes);
  second_moment_ = second_moment_.networks(networks, classes);
  std::vector<int64_t> steps;
  for (const int64_t k : networks) steps.push_back(steps_[static_cast<size_t>(k)]);
  steps_ = std::move(steps);
}

void StackedAdamW::step(Parameters& parameters, const Parameters& gradients,
                        const std::vector<uint8_t>& active,
                        const std::vector<Hyperparameters>& networks) {
  const at::NoGradGuard no_gradients;
  const auto p = parameters.named();
  const auto g = gradients.named();
  const auto m = first_moment_.named();
  const auto v = second_moment_.named();
  for (size_t k = 0; k < active.size(); ++k) {
    if (active[k] == 0) continue;
    const auto t = static_cast<double>(++steps_[k]);
    for (size_t i = 0; i < p.size(); ++i) {
      const std::string& name = p[i].first;
      const double rate =
          is_head(name) ? networks[k].head_learning_rate : networks[k].learning_rate;
      const double decay = is_bias(name) ? 0 : networks[k].weight_decay;
      const StepConstants constants{
          static_cast<float>(1 - rate * decay),
          static_cast<float>(rate / (1 - std::pow(kBeta1, t))),
          static_cast<float>(1 / std::sqrt(1 - std::pow(kBeta2, t))),
      };
      const auto index = static_cast<int64_t>(k);
      if (p[i].second.is_cpu()) {
        const int64_t size = p[i].second.numel() / p[i].second.size(0);
        const auto slice = [&](const at::Tensor& stacked) {
          return stacked.mutable_data_ptr<float>() + index * size;
        };
        update_on_cpu(constants, size, slice(g[i].second), slice(p[i].second), slice(m[i].second),
                      slice(v[i].second));
      } else {
        update_with_torch(constants, g[i].second[index], p[i].second[index], m[i].second[index],
                          v[i].second[index]);
      }
    }
  }
}

}  // namespace last
