#include "common/last/parameters.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

namespace last {
namespace {

template <class Function>
Parameters transform(const Parameters& p, const Function& function) {
  const auto apply = [&](const at::Tensor& t) { return t.defined() ? function(t) : t; };
  return {apply(p.norm_weight),       apply(p.norm_bias),       apply(p.qkv_weight),
          apply(p.qkv_bias),          apply(p.up_weight),       apply(p.up_bias),
          apply(p.final_norm_weight), apply(p.final_norm_bias), apply(p.head_weight),
          apply(p.head_bias)};
}

}  // namespace

std::vector<std::pair<std::string, at::Tensor>> Parameters::named() const {
  std::vector<std::pair<std::string, at::Tensor>> all = {{"norm_weight", norm_weight},
                                                         {"norm_bias", norm_bias},
                                                         {"qkv_weight", qkv_weight},
                                                         {"qkv_bias", qkv_bias},
                                                         {"up_weight", up_weight},
                                                         {"up_bias", up_bias},
                                                         {"final_norm_weight", final_norm_weight},
                                                         {"final_norm_bias", final_norm_bias},
                                                         {"head_weight", head_weight},
                                                         {"head_bias", head_bias}};
  std::erase_if(all, [](const auto& entry) { return !entry.second.defined(); });
  return all;
}

Parameters Parameters::network(int64_t k) const {
  return transform(*this, [&](const at::Tensor& t) { return t.narrow(0, k, 1); });
}

Parameters Parameters::networks(const std::vector<int64_t>& indices, int64_t classes) const {
  const auto index = at::tensor(indices, at::kLong).to(head_weight.device());
  auto chosen = transform(*this, [&](const at::Tensor& t) { return t.index_select(0, index); });
  chosen.head_weight = chosen.head_weight.narrow(1, 0, classes).contiguous();
  chosen.head_bias = chosen.head_bias.narrow(1, 0, classes).contiguous();
  return chosen;
}

Parameters Parameters::clone() const {
  return transform(*this, [](const at::Tensor& t) { return t.clone(); });
}

Parameters Parameters::zeros_like() const {
  return transform(*this, [](const at::Tensor& t) { return at::zeros_like(t); });
}

Parameters Parameters::to(c10::Device device) const {
  return transform(*this, [&](const at::Tensor& t) { return t.to(device); });
}

Parameters make_parameters(int64_t networks, const NetworkConfig& config,
                           const BackboneInfo& backbone, int64_t classes) {
  const int64_t k = networks;
  const int64_t m = config.total_modules(backbone.depth);
  const int64_t d = backbone.dim;
  const int64_t r = config.rank;
  const auto zeros = [](at::IntArrayRef shape) { return at::zeros(shape, at::kFloat); };
  Parameters p;
  if (m > 0) {
    p.norm_weight = zeros({k, m, d});
    p.norm_bias = zeros({k, m, d});
    p.qkv_weight = zeros({k, m, d, 3 * r});
    p.up_weight = zeros({k, m, r, d});
    if (config.biases) {
      p.qkv_bias = zeros({k, m, 3 * r});
      p.up_bias = zeros({k, m, d});
    }
  }
  if (config.norm == FinalNorm::kTrainable) {
    p.final_norm_weight = zeros({k, d});
    p.final_norm_bias = zeros({k, d});
  }
  p.head_weight = zeros({k, classes, d});
  p.head_bias = zeros({k, classes});
  return p;
}

int64_t count_parameters_without_head(const NetworkConfig& config, const BackboneInfo& backbone) {
  const int64_t m = config.total_modules(backbone.depth);
  const int64_t d = backbone.dim;
  const int64_t r = config.rank;
  const int64_t per_module = 2 * d + 4 * d * r + (config.biases ? 3 * r + d : 0);
  return m * per_module + (config.norm == FinalNorm::kTrainable ? 2 * d : 0);
}

int64_t count_parameters(const NetworkConfig& config, const BackboneInfo& backbone,
                         int64_t classes) {
  return count_parameters_without_head(config, backbone) + classes * (backbone.dim + 1);
}

}  // namespace last
