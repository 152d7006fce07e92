#include "extractor/backbone/vit.h"

#include <utility>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>

#include "common/error.h"

namespace last {
namespace {

void check_layers(std::span<const int64_t> layers, int64_t depth) {
  int64_t previous = -1;
  for (const int64_t layer : layers) {
    if (layer <= previous || layer > depth) {
      fail("layer ", layer, " can't be stored: layers ascend and lie in 0..", depth);
    }
    previous = layer;
  }
}

}  // namespace

Vit::Vit(const VitConfig& config, VitWeights weights)
    : config_(config),
      patch_embed_(std::move(weights.patch_embed)),
      prefix_(std::move(weights.prefix)),
      positions_(std::move(weights.positions)),
      norm_pre_(std::move(weights.norm_pre)) {
  for (BlockWeights& block : weights.blocks) {
    blocks_.emplace_back(config, std::move(block), weights.rope);
  }
}

at::Tensor Vit::maps(const at::Tensor& images, std::span<const int64_t> layers,
                     c10::ScalarType dtype) const {
  const at::NoGradGuard no_grad;
  check_layers(layers, config_.depth);
  const auto count = static_cast<int64_t>(layers.size());
  at::Tensor x = embed(images);
  at::Tensor result =
      at::empty({x.size(0), count, config_.tokens(), config_.dim}, x.options().dtype(dtype));
  int64_t block = 0;
  for (int64_t i = 0; i < count; ++i) {
    for (; block < layers[static_cast<size_t>(i)]; ++block) {
      blocks_[static_cast<size_t>(block)].forward(x);
    }
    result.select(1, i).copy_(x);
  }
  return result;
}

at::Tensor Vit::embed(const at::Tensor& images) const {
  if (images.dim() != 4 || images.size(1) != 3 || images.size(2) != config_.image_height ||
      images.size(3) != config_.image_width) {
    fail("images of shape [B, 3, ", config_.image_height, ", ", config_.image_width,
         "] expected, found ", images.sizes());
  }
  const int64_t batch = images.size(0);
  // A convolution whose stride is its kernel is a product over patches, rows of [3, height, width].
  const at::Tensor patches = images.to(device(), patch_embed_.weight.scalar_type())
                                 .reshape({batch, 3, config_.grid_height(), config_.patch_height,
                                           config_.grid_width(), config_.patch_width})
                                 .permute({0, 2, 4, 1, 3, 5})
                                 .reshape({batch, config_.patches(), -1});
  const at::Tensor embedded = patch_embed_.bias.defined()
                                  ? at::linear(patches, patch_embed_.weight, patch_embed_.bias)
                                  : at::linear(patches, patch_embed_.weight);
  at::Tensor x = at::empty({batch, config_.tokens(), config_.dim},
                           embedded.options().dtype(c10::ScalarType::Float));
  x.narrow(1, 0, config_.prefix_tokens).copy_(prefix_);
  at::Tensor patch_tokens = x.narrow(1, config_.prefix_tokens, config_.patches());
  patch_tokens.copy_(embedded);
  if (positions_.defined()) patch_tokens.add_(positions_);
  return norm_pre_.defined() ? layer_norm(x, norm_pre_, config_.norm_eps) : x;
}

}  // namespace last
