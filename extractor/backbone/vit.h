#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include "extractor/backbone/block.h"
#include "extractor/backbone/vit_config.h"
#include "extractor/backbone/vit_weights.h"

namespace last {

// A frozen ViT. Thread-safe: maps() changes nothing.
class Vit {
 public:
  Vit(const VitConfig& config, VitWeights weights);

  const VitConfig& config() const { return config_; }
  c10::Device device() const { return patch_embed_.weight.device(); }

  // The raw residual stream, without the final norm.
  //   images  [B, 3, H, W], normalised, any float type, any device
  //   layers  ascending, in 0..depth: 0 = z_0 (after position embedding and norm_pre),
  //           i = after block i; blocks after the last one are not computed
  //   dtype   of the result (values beyond fp16's range become infinite)
  // Returns [B, layers, tokens, dim] on device(), contiguous. An Error says which image size or
  // which layer is not possible.
  at::Tensor maps(const at::Tensor& images, std::span<const int64_t> layers,
                  c10::ScalarType dtype = c10::ScalarType::Float) const;

 private:
  // z_0, fp32 [B, tokens, dim]
  at::Tensor embed(const at::Tensor& images) const;

  VitConfig config_;
  LinearWeights patch_embed_;
  at::Tensor prefix_;
  at::Tensor positions_;
  NormWeights norm_pre_;
  std::vector<Block> blocks_;
};

}  // namespace last
