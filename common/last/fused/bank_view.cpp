#include "common/last/fused/bank_view.h"

#include <algorithm>

namespace last::fused {
namespace {

// Element `index` along the leading axes of a contiguous tensor [.., size]; nullptr if undefined.
float* row(const at::Tensor& tensor, size_t index, size_t size) {
  return tensor.defined() ? tensor.data_ptr<float>() + index * size : nullptr;
}

}  // namespace

BankView::BankView(const Plan& plan, const BankConfig& config, const Parameters& parameters,
                   bool training)
    : plan_(plan), config_(config), parameters_(parameters) {
  const Shape& s = plan.shape;
  const auto all = static_cast<size_t>(config.networks()) * static_cast<size_t>(plan.modules);
  const auto dim = static_cast<size_t>(s.dim), rank = static_cast<size_t>(s.rank);
  const auto qkv_stride = static_cast<size_t>(s.qkv_stride);
  const auto rank_stride = static_cast<size_t>(s.rank_stride);
  column_means_.resize(all * qkv_stride);
  shifts_.resize(all * qkv_stride);
  up_means_.resize(all * rank_stride);
  if (training) {
    crossed_.resize(static_cast<size_t>(config.networks() * plan.layout.weights()));
  }
  for (size_t i = 0; i < all; ++i) {
    modules_.push_back(
        {row(parameters.norm_weight, i, dim), row(parameters.norm_bias, i, dim),
         row(parameters.qkv_weight, i, dim * 3 * rank), row(parameters.qkv_bias, i, 3 * rank),
         row(parameters.up_weight, i, rank * dim), row(parameters.up_bias, i, dim),
         &column_means_[i * qkv_stride], &shifts_[i * qkv_stride], &up_means_[i * rank_stride], 0});
  }
}

size_t BankView::index(int64_t network, int module) const {
  return static_cast<size_t>(network * plan_.modules + module);
}

void BankView::prepare(const Kernels& kernels, int64_t network, int module) {
  const size_t i = index(network, module);
  const Shape& s = plan_.shape;
  ModuleView& view = modules_[i];
  kernels.prepare_module(s, view.norm_weight, view.norm_bias, view.qkv_weight, view.qkv_bias,
                         view.up_weight, &column_means_[i * static_cast<size_t>(s.qkv_stride)],
                         &shifts_[i * static_cast<size_t>(s.qkv_stride)],
                         &up_means_[i * static_cast<size_t>(s.rank_stride)]);
  double total = 0;
  if (view.up_bias != nullptr) {
    for (int c = 0; c < s.dim; ++c) total += view.up_bias[c];
  }
  view.up_bias_mean = static_cast<float>(total / s.dim);
}

void BankView::prepare_crossed(const Kernels& kernels, int64_t network, int module) {
  const auto views = modules(network);
  const float* up = views[static_cast<size_t>(module)].up_weight;
  float* out = crossed_.data() + network * plan_.layout.weights();
  for (int l = module + 1; l < plan_.crossed_modules; ++l) {
    kernels.cross_qkv(plan_.shape, views[static_cast<size_t>(l)], up,
                      out + plan_.layout.qkv_weights(module, l));
  }
  for (int k = 0; k + 1 < plan_.crossed_modules; ++k) {
    kernels.cross_up(plan_.shape, views[static_cast<size_t>(k)], up,
                     out + plan_.layout.up_weights(module, k));
  }
}

const float* BankView::crossed_weights(int64_t network) const {
  return crossed_.data() + network * plan_.layout.weights();
}

std::span<const ModuleView> BankView::modules(int64_t network) const {
  return std::span(modules_).subspan(index(network, 0), static_cast<size_t>(plan_.modules));
}

HeadView BankView::head(int64_t network) const {
  const auto k = static_cast<size_t>(network);
  const auto dim = static_cast<size_t>(plan_.shape.dim);
  const auto stride = static_cast<size_t>(parameters_.head_bias.size(1));
  HeadView head = {};
  if (plan_.network.norm == FinalNorm::kFrozen) {
    head.norm_weight = config_.backbone.norm_weight.data_ptr<float>();
    head.norm_bias = config_.backbone.norm_bias.data_ptr<float>();
  } else if (plan_.network.norm == FinalNorm::kTrainable) {
    head.norm_weight = row(parameters_.final_norm_weight, k, dim);
    head.norm_bias = row(parameters_.final_norm_bias, k, dim);
  }
  head.norm_eps = static_cast<float>(config_.backbone.norm_eps);
  head.weight = row(parameters_.head_weight, k, stride * dim);
  head.bias = row(parameters_.head_bias, k, stride);
  head.classes = static_cast<int>(config_.classes[k]);
  return head;
}

GradientView::GradientView(const Plan& plan, int64_t networks, Parameters& gradients)
    : plan_(plan), gradients_(gradients) {
  const Shape& s = plan.shape;
  const auto all = static_cast<size_t>(networks) * static_cast<size_t>(plan.modules);
  const auto dim = static_cast<size_t>(s.dim), rank = static_cast<size_t>(s.rank);
  const auto qkv_stride = static_cast<size_t>(s.qkv_stride);
  shifts_.resize(all * qkv_stride);
  crossed_.resize(static_cast<size_t>(networks * plan.layout.sums()));
  for (size_t i = 0; i < all; ++i) {
    modules_.push_back({row(gradients.qkv_weight, i, dim * 3 * rank),
                        row(gradients.up_weight, i, rank * dim), row(gradients.up_bias, i, dim),
                        &shifts_[i * qkv_stride]});
  }
}

std::span<const ModuleGradients> GradientView::modules(int64_t network) const {
  return std::span(modules_).subspan(static_cast<size_t>(network * plan_.modules),
                                     static_cast<size_t>(plan_.modules));
}

float* GradientView::crossed_sums(int64_t network) {
  return crossed_.data() + network * plan_.layout.sums();
}

void GradientView::finish(const Kernels& kernels, const ModuleView& parameters, int64_t network,
                          int module) {
  const auto i = static_cast<size_t>(network * plan_.modules + module);
  const auto dim = static_cast<size_t>(plan_.shape.dim);
  kernels.finish_module(plan_.shape, parameters.norm_weight, parameters.norm_bias,
                        parameters.qkv_weight, modules_[i].shift, modules_[i].qkv_weight,
                        row(gradients_.norm_weight, i, dim), row(gradients_.norm_bias, i, dim));
  if (gradients_.qkv_bias.defined()) {
    const auto columns = 3 * static_cast<size_t>(plan_.shape.rank);
    std::copy_n(modules_[i].shift, columns, row(gradients_.qkv_bias, i, columns));
  }
}

}  // namespace last::fused
