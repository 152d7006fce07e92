#include "common/last/fused/head.h"

#include <algorithm>
#include <cmath>

namespace last::fused {

HeadPass::HeadPass(const Shape& shape, const Kernels& kernels)
    : shape_(shape),
      kernels_(kernels),
      x_hat_(static_cast<size_t>(shape.padded_dim)),
      d_normed_(static_cast<size_t>(shape.padded_dim)) {}

void HeadPass::forward(const HeadView& head, const float* pooled, float* normed, float* logits) {
  const int dim = shape_.dim;
  std::copy_n(pooled, shape_.padded_dim, normed);
  if (head.norm_weight != nullptr) {
    double mean = 0, variance = 0;
    for (int c = 0; c < dim; ++c) mean += pooled[c];
    mean /= dim;
    for (int c = 0; c < dim; ++c) variance += (pooled[c] - mean) * (pooled[c] - mean);
    rstd_ = 1 / std::sqrt(variance / dim + head.norm_eps);
    for (int c = 0; c < dim; ++c) {
      const auto x_hat = static_cast<float>((pooled[c] - mean) * rstd_);
      x_hat_[static_cast<size_t>(c)] = x_hat;
      normed[c] = x_hat * head.norm_weight[c] + head.norm_bias[c];
    }
  }
  kernels_.head_logits(shape_, normed, head.weight, head.bias, head.classes, logits);
}

Loss HeadPass::loss(int classes, int label, double smoothing, double weight, float* logits) {
  Loss result;
  const float* end = logits + classes;
  const float* largest = std::max_element(static_cast<const float*>(logits), end);
  result.correct = largest - logits == label;
  const double shift = *largest;
  double total = 0, mean = 0;
  for (int c = 0; c < classes; ++c) {
    total += std::exp(logits[c] - shift);
    mean += logits[c];
  }
  const double log_total = shift + std::log(total);
  mean /= classes;
  result.value = log_total - ((1 - smoothing) * logits[label] + smoothing * mean);
  for (int c = 0; c < classes; ++c) {
    const double target = (c == label ? 1 - smoothing : 0.0) + smoothing / classes;
    logits[c] = static_cast<float>(weight * (std::exp(logits[c] - log_total) - target));
  }
  return result;
}

void HeadPass::backward(const HeadView& head, const float* d_logits, float* pooled_gradient) {
  float* d_normed = d_normed_.data();
  kernels_.head_backward(shape_, d_logits, head.weight, head.classes, d_normed);
  std::copy_n(d_normed, shape_.padded_dim, pooled_gradient);
  if (head.norm_weight == nullptr) return;
  // d_x = rstd (g - mean(g) - x-hat mean(g x-hat)),  g = d_normed gamma
  const float* x_hat = x_hat_.data();
  double mean = 0, projection = 0;
  for (int c = 0; c < shape_.dim; ++c) {
    const double g = static_cast<double>(d_normed[c]) * head.norm_weight[c];
    mean += g;
    projection += g * x_hat[c];
  }
  mean /= shape_.dim;
  projection /= shape_.dim;
  for (int c = 0; c < shape_.dim; ++c) {
    const double g = static_cast<double>(d_normed[c]) * head.norm_weight[c];
    pooled_gradient[c] = static_cast<float>(rstd_ * (g - mean - x_hat[c] * projection));
  }
}

void HeadPass::add_norm_gradients(bool overwrite, float* d_weight, float* d_bias) const {
  for (size_t c = 0; c < static_cast<size_t>(shape_.dim); ++c) {
    const float of_weight = d_normed_[c] * x_hat_[c];
    d_weight[c] = overwrite ? of_weight : d_weight[c] + of_weight;
    d_bias[c] = overwrite ? d_normed_[c] : d_bias[c] + d_normed_[c];
  }
}

}  // namespace last::fused
