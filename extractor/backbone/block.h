#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "extractor/backbone/vit_config.h"
#include "extractor/backbone/vit_weights.h"

namespace last {

// LayerNorm over the last dimension, computed and returned in fp32.
at::Tensor layer_norm(const at::Tensor& x, const NormWeights& norm, double eps);

// One transformer block. Matrix products run in `precision`, the residual stream stays fp32: in
// half precision it would lose a little in every block, and it is what the features are.
class Block {
 public:
  Block(const VitConfig& config, const BlockWeights& weights, c10::Device device,
        c10::ScalarType precision);

  // x fp32 [B, n, D], changed in place:
  //   x += proj(attention(norm1 x));  x += fc2(act(fc1(norm2 x)))
  void forward(at::Tensor& x) const;

 private:
  at::Tensor attention(const at::Tensor& x) const;
  at::Tensor mlp(const at::Tensor& x) const;

  BlockWeights weights_;
  int64_t heads_;
  Mlp mlp_;
  Activation activation_;
  double norm_eps_;
  c10::ScalarType precision_;
};

}  // namespace last
