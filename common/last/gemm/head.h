#pragma once

#include <ATen/core/Tensor.h>

#include "common/backbone_info.h"
#include "common/last/config.h"
#include "common/last/parameters.h"

namespace last::gemm {

// The frozen final norm on the computing device.
struct FrozenNorm {
  at::Tensor weight;  // [D]
  at::Tensor bias;    // [D]
  double eps;
};

// Final norm and Linear of K networks on B pooled outputs.
struct HeadState {
  at::Tensor pooled;      // [K, B, D]
  at::Tensor normalized;  // [K, B, D]  LN(pooled) before weight and bias; undefined without norm
  at::Tensor mean, rstd;
  at::Tensor features;  // [K, B, D]  what the Linear sees
  at::Tensor logits;    // [K, B, C]  -inf beyond a network's own classes
};

//   pooled [K, B, D], contiguous; own_class [K, 1, C], false beyond a network's own classes
HeadState head_forward(const at::Tensor& pooled, const Parameters& p, FinalNorm norm,
                       const FrozenNorm& frozen, const at::Tensor& own_class);

// Writes the head's gradients into `result` and returns that of `pooled`.
at::Tensor head_backward(const HeadState& state, const at::Tensor& d_logits, const Parameters& p,
                         FinalNorm norm, const FrozenNorm& frozen, Parameters& result);

// What the loss of K networks on B rows is measured against.
struct Targets {
  at::Tensor labels;      // [K, B], -1 = unlabelled
  at::Tensor row_weight;  // [K, B]  1 / labelled rows of the network's whole batch; 0 = unlabelled
  at::Tensor smoothing;   // [K, 1, 1]  s
  at::Tensor own_class;   // [K, 1, C]
};

struct Loss {
  at::Tensor loss;      // fp64 [K], the rows' share of the mean over the whole batch
  at::Tensor correct;   // int64 [K]
  at::Tensor d_logits;  // [K, B, C]
};

// Cross-entropy against (1 - s) onehot + s / (number of own classes).
Loss cross_entropy(const at::Tensor& logits, const Targets& targets);

}  // namespace last::gemm
