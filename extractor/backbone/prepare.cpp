#include "extractor/backbone/prepare.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include "common/error.h"
#include "extractor/backbone/tensor_taker.h"

namespace last {
namespace {

NormWeights take_norm(TensorTaker& taker, const std::string& name, int64_t dim) {
  return {taker.take(name + ".weight", {dim}), taker.take(name + ".bias", {dim})};
}

LinearWeights take_linear(TensorTaker& taker, const std::string& name, int64_t out, int64_t in,
                          bool bias) {
  LinearWeights linear{taker.take(name + ".weight", {out, in}), {}};
  if (bias) linear.bias = taker.take(name + ".bias", {out});
  return linear;
}

// gamma * (W x + b) = (gamma W) x + gamma b
void fold_scale(LinearWeights& linear, const at::Tensor& gamma) {
  linear.weight = linear.weight.mul(gamma.unsqueeze(1));
  if (linear.bias.defined()) linear.bias = linear.bias.mul(gamma);
}

// What some checkpoints have in every block and others in none.
struct BlockParts {
  bool qkv_bias, proj_bias, fc1_bias, fc2_bias, scale1, scale2;
};

BlockWeights take_block(TensorTaker& taker, const VitConfig& config, const BlockParts& parts,
                        int64_t index) {
  const std::string block = concat("blocks.", index, ".");
  const int64_t dim = config.dim, hidden = config.mlp_hidden;
  const int64_t fc1_rows = config.mlp == Mlp::kGated ? 2 * hidden : hidden;
  BlockWeights weights;
  weights.norm1 = take_norm(taker, block + "norm1", dim);
  weights.qkv = take_linear(taker, block + "attn.qkv", 3 * dim, dim, parts.qkv_bias);
  weights.proj = take_linear(taker, block + "attn.proj", dim, dim, parts.proj_bias);
  weights.norm2 = take_norm(taker, block + "norm2", dim);
  weights.fc1 = take_linear(taker, block + "mlp.fc1", fc1_rows, dim, parts.fc1_bias);
  weights.fc2 = take_linear(taker, block + "mlp.fc2", dim, hidden, parts.fc2_bias);
  if (parts.scale1) fold_scale(weights.proj, taker.take(block + "ls1.gamma", {dim}));
  if (parts.scale2) fold_scale(weights.fc2, taker.take(block + "ls2.gamma", {dim}));
  return weights;
}

at::Tensor take_prefix_tokens(TensorTaker& taker, const CanonicalCheckpoint& checkpoint,
                              int64_t dim) {
  std::vector<at::Tensor> tokens{at::zeros({0, dim}, c10::ScalarType::Float)};
  for (const char* name : {"cls_token", "dist_token", "reg_token"}) {
    if (!taker.has(name)) continue;
    const at::Tensor& stored = checkpoint.tensors.at(name).tensor;
    const int64_t count = stored.dim() == 3 ? stored.size(1) : 1;
    tokens.push_back(taker.take(name, {1, count, dim}).squeeze(0));
  }
  return at::cat(tokens);
}

}  // namespace

VitWeights prepare_weights(const CanonicalCheckpoint& checkpoint, const ResolvedModel& model,
                           const std::string& path) {
  const VitConfig& config = model.config;
  const PositionLayout& layout = model.positions;
  TensorTaker taker(checkpoint.tensors, path);
  VitWeights weights;

  const int64_t patch_size = 3 * config.patch_height * config.patch_width;
  weights.patch_embed.weight =
      taker
          .take("patch_embed.proj.weight", {config.dim, 3, config.patch_height, config.patch_width})
          .reshape({config.dim, patch_size});
  // Models with a norm before the blocks (CLIP's) have no bias here.
  if (taker.has("patch_embed.proj.bias") || !taker.has("norm_pre.weight")) {
    weights.patch_embed.bias = taker.take("patch_embed.proj.bias", {config.dim});
  }
  const int64_t rows = layout.prefix + layout.grid_height * layout.grid_width;
  const at::Tensor positions = taker.take("pos_embed", {1, rows, config.dim}).squeeze(0);
  weights.prefix = take_prefix_tokens(taker, checkpoint, config.dim);
  if (layout.prefix > 0) weights.prefix.add_(positions.narrow(0, 0, layout.prefix));
  weights.positions = resample_positions(
      positions.narrow(0, layout.prefix, rows - layout.prefix), layout.grid_height,
      layout.grid_width, config.grid_height(), config.grid_width(), config.pos_embed);
  if (taker.has("norm_pre.weight")) weights.norm_pre = take_norm(taker, "norm_pre", config.dim);

  const BlockParts parts{
      taker.any_block_has(".attn.qkv.bias"), taker.any_block_has(".attn.proj.bias"),
      taker.any_block_has(".mlp.fc1.bias"),  taker.any_block_has(".mlp.fc2.bias"),
      taker.any_block_has(".ls1.gamma"),     taker.any_block_has(".ls2.gamma")};
  for (int64_t i = 0; i < config.depth; ++i) {
    weights.blocks.push_back(take_block(taker, config, parts, i));
  }
  const std::string norm = taker.has("norm.weight") ? "norm" : "fc_norm";
  if (taker.has(norm + ".weight")) weights.norm = take_norm(taker, norm, config.dim);
  taker.finish();
  return weights;
}

}  // namespace last
