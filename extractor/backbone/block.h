#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "extractor/backbone/vit_config.h"
#include "extractor/backbone/vit_weights.h"

namespace last {

// LayerNorm over the last dimension, computed and returned in fp32.
at::Tensor layer_norm(const at::Tensor& x, const NormWeights& norm, double eps);

// One transformer block. Matrix products run in their weights' precision, the residual stream stays
// fp32: in half precision it would lose a little in every block, and it is what the features are.
class Block {
 public:
  Block(const VitConfig& config, BlockWeights weights, RopeTables rope);

  // x fp32 [B, n, D], changed in place:
  //   x += proj(attention(norm1 x));  x += fc2(act(fc1(norm2 x)))
  // or with the norms after attention and MLP (NormPlace).
  void forward(at::Tensor& x) const;

 private:
  // Both in: precision of the products, out: any.
  at::Tensor attention(const at::Tensor& x) const;
  at::Tensor mlp(const at::Tensor& x) const;
  at::Tensor mlp_hidden(const at::Tensor& x) const;
  // The norms inside; x itself where there are none.
  at::Tensor inner_norm(const at::Tensor& x, const NormWeights& norm) const;

  BlockWeights weights_;
  RopeTables rope_;
  RopeKind rope_kind_;
  int64_t heads_;
  Mlp mlp_;
  Activation activation_;
  NormPlace norm_place_;
  double norm_eps_;
};

}  // namespace last
