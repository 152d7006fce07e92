#include "trainer/training/optimizer.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

namespace last {
namespace {

constexpr double kBeta1 = 0.9;
constexpr double kBeta2 = 0.999;
constexpr double kEps = 1e-8;

// The constants of one network's step for one kind of tensor, rounded to fp32 once.
struct StepConstants {
  float decay;       // 1 - lr * weight decay
  float step_size;   // lr / (1 - beta1^t)
  float root_scale;  // 1 / sqrt(1 - beta2^t)
};
constexpr int64_t kConstants = 3;

StepConstants constants_of(const std::string& tensor, const StackedAdamW::Hyperparameters& network,
                           int64_t step) {
  const bool is_head = tensor.rfind("head_", 0) == 0;
  const bool is_bias = tensor.find("bias") != std::string::npos;
  const double rate = is_head ? network.head_learning_rate : network.learning_rate;
  const double decay = is_bias ? 0 : network.weight_decay;
  const auto t = static_cast<double>(step);
  return {static_cast<float>(1 - rate * decay),
          static_cast<float>(rate / (1 - std::pow(kBeta1, t))),
          static_cast<float>(1 / std::sqrt(1 - std::pow(kBeta2, t)))};
}

// One tensor in the optimiser's sight, all stacked [K, ..].
struct Stacked {
  const at::Tensor &parameter, &gradient, &first_moment, &second_moment;
};

// A run of elements of one tensor of one network, as long as it is worth a thread's while.
struct Run {
  StepConstants constants;
  size_t tensor;  // in the order of Parameters::named
  int64_t first, size;
};
constexpr int64_t kRunSize = int64_t{1} << 14;

void update_in_one_pass(const Run& run, const Stacked& tensor) {
  constexpr auto b1 = static_cast<float>(kBeta1);
  constexpr auto b2 = static_cast<float>(kBeta2);
  constexpr auto one_minus_b1 = static_cast<float>(1 - kBeta1);
  constexpr auto one_minus_b2 = static_cast<float>(1 - kBeta2);
  constexpr auto eps = static_cast<float>(kEps);
  const StepConstants c = run.constants;
  const float* g = tensor.gradient.const_data_ptr<float>() + run.first;
  float* p = tensor.parameter.mutable_data_ptr<float>() + run.first;
  float* m = tensor.first_moment.mutable_data_ptr<float>() + run.first;
  float* v = tensor.second_moment.mutable_data_ptr<float>() + run.first;
  for (int64_t i = 0; i < run.size; ++i) {
    m[i] = b1 * m[i] + one_minus_b1 * g[i];
    v[i] = b2 * v[i] + one_minus_b2 * (g[i] * g[i]);
    p[i] = p[i] * c.decay - c.step_size * m[i] / (std::sqrt(v[i]) * c.root_scale + eps);
  }
}

// constants [3, K], on the tensors' device
void update_with_tensors(const at::Tensor& constants, const Stacked& tensor) {
  std::vector<int64_t> shape(static_cast<size_t>(tensor.parameter.dim()), 1);
  shape[0] = tensor.parameter.size(0);
  const auto constant = [&](int64_t i) { return constants[i].view(shape); };
  const at::Tensor &g = tensor.gradient, &m = tensor.first_moment, &v = tensor.second_moment;
  m.mul_(kBeta1).add_(g, 1 - kBeta1);
  v.mul_(kBeta2).addcmul_(g, g, 1 - kBeta2);
  const auto root = v.sqrt().mul_(constant(2)).add_(kEps);
  tensor.parameter.mul_(constant(0)).addcdiv_(m * constant(1), root, -1);
}

}  // namespace

StackedAdamW::StackedAdamW(const Parameters& parameters, int threads)
    : StackedAdamW(parameters, parameters.head_weight.is_cpu() ? Form::kOnePass : Form::kTensors,
                   threads) {}

StackedAdamW::StackedAdamW(const Parameters& parameters, Form form, int threads)
    : form_(form),
      threads_(form == Form::kOnePass ? std::make_unique<ThreadPool>(threads) : nullptr),
      first_moment_(parameters.zeros_like()),
      second_moment_(parameters.zeros_like()),
      steps_(static_cast<size_t>(parameters.head_weight.size(0)), 0) {}

void StackedAdamW::keep(const std::vector<int64_t>& networks, int64_t classes) {
  first_moment_ = first_moment_.networks(networks, classes);
  second_moment_ = second_moment_.networks(networks, classes);
  std::vector<int64_t> steps;
  for (const int64_t k : networks) steps.push_back(steps_[static_cast<size_t>(k)]);
  steps_ = std::move(steps);
}

void StackedAdamW::step_in_one_pass(Parameters& parameters, const Parameters& gradients,
                                    const std::vector<int64_t>& chosen,
                                    const std::vector<Hyperparameters>& networks) {
  const auto p = parameters.named(), g = gradients.named();
  const auto m = first_moment_.named(), v = second_moment_.named();
  std::vector<Run> runs;
  for (const int64_t network : chosen) {
    const auto k = static_cast<size_t>(network);
    for (size_t i = 0; i < p.size(); ++i) {
      const auto c = constants_of(p[i].first, networks[k], steps_[k]);
      const int64_t size = p[i].second.numel() / p[i].second.size(0);
      for (int64_t first = 0; first < size; first += kRunSize) {
        runs.push_back({c, i, network * size + first, std::min(kRunSize, size - first)});
      }
    }
  }
  threads_->for_each(static_cast<int64_t>(runs.size()), [&](int64_t index, int) {
    const Run& run = runs[static_cast<size_t>(index)];
    const size_t i = run.tensor;
    update_in_one_pass(run, {p[i].second, g[i].second, m[i].second, v[i].second});
  });
}

void StackedAdamW::step(Parameters& parameters, const Parameters& gradients,
                        const std::vector<uint8_t>& active,
                        const std::vector<Hyperparameters>& networks) {
  const at::NoGradGuard no_gradients;
  std::vector<int64_t> chosen;
  for (size_t k = 0; k < active.size(); ++k) {
    if (active[k] == 0) continue;
    ++steps_[k];
    chosen.push_back(static_cast<int64_t>(k));
  }
  if (chosen.empty()) return;
  if (form_ == Form::kOnePass) return step_in_one_pass(parameters, gradients, chosen, networks);
  const auto p = parameters.named(), g = gradients.named();
  const auto m = first_moment_.named(), v = second_moment_.named();
  // All constants go to the device in one copy.
  const auto count = static_cast<int64_t>(chosen.size());
  auto table =
      at::empty({static_cast<int64_t>(p.size()), kConstants, count}, at::dtype(at::kFloat));
  float* value = table.mutable_data_ptr<float>();
  for (const auto& [name, tensor] : p) {
    for (int64_t j = 0; j < count; ++j, ++value) {
      const auto k = static_cast<size_t>(chosen[static_cast<size_t>(j)]);
      const auto c = constants_of(name, networks[k], steps_[k]);
      value[0] = c.decay;
      value[count] = c.step_size;
      value[2 * count] = c.root_scale;
    }
    value += (kConstants - 1) * count;
  }
  const auto device = parameters.head_weight.device();
  table = table.to(device, at::kFloat, /*non_blocking=*/true);
  const bool all = chosen.size() == active.size();
  at::Tensor index;
  if (!all) {
    index = at::empty({count}, at::kLong);
    std::copy(chosen.begin(), chosen.end(), index.mutable_data_ptr<int64_t>());
    index = index.to(device);
  }
  for (size_t i = 0; i < p.size(); ++i) {
    const auto constant = table[static_cast<int64_t>(i)];
    if (all) {
      update_with_tensors(constant, {p[i].second, g[i].second, m[i].second, v[i].second});
      continue;
    }
    const auto pick = [&](const at::Tensor& stacked) { return stacked.index_select(0, index); };
    const auto pi = pick(p[i].second), mi = pick(m[i].second), vi = pick(v[i].second);
    update_with_tensors(constant, {pi, pick(g[i].second), mi, vi});
    p[i].second.index_copy_(0, index, pi);
    m[i].second.index_copy_(0, index, mi);
    v[i].second.index_copy_(0, index, vi);
  }
}

}  // namespace last
