#pragma once

#include <vector>

#include "common/last/config.h"
#include "common/last/fused/kernels.h"

namespace last::fused {

// One network's head: final norm and Linear.
struct HeadView {
  const float* norm_weight;  // [D], nullptr: no norm
  const float* norm_bias;
  float norm_eps;
  const float* weight;  // [classes, D]
  const float* bias;    // [classes]
  int classes;
};

struct Loss {
  double value = 0;  // cross-entropy
  bool correct = false;
};

// One row through a head, in one thread.
class HeadPass {
 public:
  HeadPass(const Shape& shape, const Kernels& kernels);

  // pooled [padded_dim] -> normed [padded_dim], the Linear's input, and logits [classes].
  void forward(const HeadView& head, const float* pooled, float* normed, float* logits);

  // Cross-entropy against (1 - smoothing) onehot(label) + smoothing / classes. Replaces the logits
  // by weight * d loss / d logits.
  static Loss loss(int classes, int label, double smoothing, double weight, float* logits);

  // pooled_gradient [padded_dim] = d loss / d pooled, after forward().
  void backward(const HeadView& head, const float* d_logits, float* pooled_gradient);

  // Of the last backward(): adds to the gradients of the norm's weight and bias.
  void add_norm_gradients(bool overwrite, float* d_weight, float* d_bias) const;

 private:
  const Shape& shape_;
  const Kernels& kernels_;
  std::vector<float> x_hat_;     // [D]
  std::vector<float> d_normed_;  // [padded_dim]
  double rstd_ = 1;
};

}  // namespace last::fused
