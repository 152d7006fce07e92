#include "extractor/backbone/prepare.h"

#include <utility>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "common/error.h"
#include "extractor/backbone/patch_resampling.h"
#include "extractor/backbone/tensor_taker.h"

namespace last {
namespace {

// What some checkpoints have in every block and others in none: a part that only some of the blocks
// have is an error, not another model.
struct BlockParts {
  explicit BlockParts(const CanonicalCheckpoint& checkpoint)
      : BlockParts(checkpoint.tensors, checkpoint.has_all_biases) {}
  BlockParts(const StateDict& tensors, bool has_all_biases)
      : qkv_bias(has_all_biases || any_block_has(tensors, ".attn.qkv.bias")),
        proj_bias(has_all_biases || any_block_has(tensors, ".attn.proj.bias")),
        fc1_bias(has_all_biases || any_block_has(tensors, ".mlp.fc1.bias")),
        fc2_bias(has_all_biases || any_block_has(tensors, ".mlp.fc2.bias")),
        attention_norm(any_block_has_norm(tensors, "attn.norm")),
        mlp_norm(any_block_has_norm(tensors, "mlp.norm")),
        scale1(any_block_has(tensors, ".ls1.gamma")),
        scale2(any_block_has(tensors, ".ls2.gamma")) {}

  bool qkv_bias, proj_bias, fc1_bias, fc2_bias, attention_norm, mlp_norm, scale1, scale2;
};

class Preparation {
 public:
  Preparation(TensorTaker& taker, const CanonicalCheckpoint& checkpoint, const ResolvedModel& model,
              c10::Device device, c10::ScalarType precision)
      : taker_(taker),
        checkpoint_(checkpoint),
        model_(model),
        config_(model.config),
        parts_(checkpoint),
        device_(device),
        precision_(precision) {}

  VitWeights run() {
    VitWeights weights;
    weights.patch_embed = patch_embedding(checkpoint_.may_lack_patch_bias);
    add_tokens(weights);
    at::Tensor periods;
    if (taker_.has("rope.periods")) {
      periods = taker_.take("rope.periods", {config_.head_dim() / 4});
    }
    if (!taker_.only_checks()) {
      weights.rope = make_rope_tables(config_.rope, config_.head_dim(), config_.grid_height(),
                                      config_.grid_width(), periods);
      if (weights.rope.sin.defined()) {
        weights.rope = {weights.rope.sin.to(device_), weights.rope.cos.to(device_)};
      }
    }
    if (has_norm(checkpoint_.tensors, "norm_pre")) weights.norm_pre = norm("norm_pre", config_.dim);
    for (int64_t i = 0; i < config_.depth; ++i) weights.blocks.push_back(block(i));
    const std::string last = has_norm(checkpoint_.tensors, "norm") ? "norm" : "fc_norm";
    if (has_norm(checkpoint_.tensors, last)) {
      weights.norm = {taker_.take(last + ".weight", {config_.dim}),
                      taker_.take(last + ".bias", {config_.dim})};
    }
    return weights;
  }

 private:
  at::Tensor moved(const at::Tensor& tensor, c10::ScalarType dtype) const {
    return tensor.defined() ? tensor.to(device_, dtype).contiguous() : tensor;
  }

  NormWeights norm(const std::string& name, int64_t dim, const at::Tensor& scale = {}) {
    at::Tensor weight = taker_.take(name + ".weight", {dim});
    at::Tensor bias = taker_.take(name + ".bias", {dim});
    if (scale.defined()) {
      weight.mul_(scale);
      bias.mul_(scale);
    }
    return {moved(weight, c10::ScalarType::Float), moved(bias, c10::ScalarType::Float)};
  }

  // `scale` [out], where defined: gamma (W x + b) = (gamma W) x + gamma b
  LinearWeights linear(const std::string& name, int64_t out, int64_t in, bool has_bias,
                       const at::Tensor& scale = {}) {
    LinearWeights result{scaled(name + ".weight", {out, in}, scale), {}};
    if (has_bias) result.bias = scaled(name + ".bias", {out}, scale);
    return result;
  }

  // In the products' precision, row by row times `scale`, which is computed in fp32.
  at::Tensor scaled(const std::string& name, const std::vector<int64_t>& shape,
                    const at::Tensor& scale) {
    if (!scale.defined()) return moved(taker_.take(name, shape, precision_), precision_);
    // What stays is allocated before what doesn't: the other way round leaves holes in the heap
    // that add up to a third of the model.
    const at::Tensor result =
        at::empty(shape, at::TensorOptions().device(device_).dtype(precision_));
    const at::Tensor rows = taker_.take(name, shape);
    return result.copy_(rows.mul_(shape.size() == 2 ? scale.unsqueeze(1) : scale));
  }

  LinearWeights patch_embedding(bool may_lack_bias) {
    const int64_t dim = config_.dim;
    at::Tensor weight = taker_.take(
        "patch_embed.proj.weight", {dim, 3, model_.stored_patch_height, model_.stored_patch_width});
    at::Tensor bias;
    if (taker_.has("patch_embed.proj.bias") || !may_lack_bias) {
      bias = taker_.take("patch_embed.proj.bias", {dim});
    }
    if (taker_.only_checks()) return {};
    weight = resample_patch_kernel(weight, config_.patch_height, config_.patch_width,
                                   config_.patch_resampling);
    return {moved(weight.reshape({dim, -1}), precision_), moved(bias, precision_)};
  }

  // prefix and positions
  void add_tokens(VitWeights& weights) {
    const PositionLayout& layout = model_.positions;
    const int64_t dim = config_.dim, patches = layout.grid_height * layout.grid_width;
    std::vector<at::Tensor> tokens{at::zeros({0, dim}, c10::ScalarType::Float)};
    for (const char* name : {"cls_token", "dist_token", "reg_token"}) {
      if (!taker_.has(name)) continue;
      const NamedTensor& stored = checkpoint_.tensors.at(name);
      const int64_t count = stored.dim() == 3 ? stored.shape[1] : 1;
      tokens.push_back(taker_.take(name, {1, count, dim}));
    }
    at::Tensor positions;
    if (config_.has_pos_embed) {
      positions = taker_.take("pos_embed", {1, layout.prefix + patches, dim});
    }
    if (taker_.only_checks()) return;
    for (at::Tensor& token : tokens) token = token.reshape({-1, dim});
    weights.prefix = at::cat(tokens);
    if (config_.has_pos_embed) {
      positions = positions.squeeze(0);
      if (layout.prefix > 0) weights.prefix.add_(positions.narrow(0, 0, layout.prefix));
      weights.positions =
          moved(resample_positions(positions.narrow(0, layout.prefix, patches), layout.grid_height,
                                   layout.grid_width, config_.grid_height(), config_.grid_width(),
                                   config_.pos_embed),
                c10::ScalarType::Float);
    }
    weights.prefix = moved(weights.prefix, c10::ScalarType::Float);
  }

  BlockWeights block(int64_t index) {
    const std::string name = concat("blocks.", index, ".");
    const int64_t dim = config_.dim, hidden = config_.mlp_hidden;
    at::Tensor scale1, scale2;
    if (parts_.scale1) scale1 = taker_.take(name + "ls1.gamma", {dim});
    if (parts_.scale2) scale2 = taker_.take(name + "ls2.gamma", {dim});
    // LayerScale belongs to what comes last: the norms, where they are behind.
    const bool after = config_.norm_place == NormPlace::kAfter;
    const at::Tensor none;
    BlockWeights weights;
    weights.norm1 = norm(name + "norm1", dim, after ? scale1 : none);
    weights.qkv = linear(name + "attn.qkv", 3 * dim, dim, parts_.qkv_bias);
    if (parts_.attention_norm) weights.attention_norm = norm(name + "attn.norm", dim);
    weights.proj = linear(name + "attn.proj", dim, dim, parts_.proj_bias, after ? none : scale1);
    weights.norm2 = norm(name + "norm2", dim, after ? scale2 : none);
    weights.fc1 = linear(name + "mlp.fc1", config_.mlp == Mlp::kGated ? 2 * hidden : hidden, dim,
                         parts_.fc1_bias);
    if (parts_.mlp_norm) weights.mlp_norm = norm(name + "mlp.norm", hidden);
    weights.fc2 = linear(name + "mlp.fc2", dim, hidden, parts_.fc2_bias, after ? none : scale2);
    return weights;
  }

  TensorTaker& taker_;
  const CanonicalCheckpoint& checkpoint_;
  const ResolvedModel& model_;
  const VitConfig& config_;
  BlockParts parts_;
  c10::Device device_;
  c10::ScalarType precision_;
};

}  // namespace

VitWeights prepare_weights(const CanonicalCheckpoint& checkpoint, const ResolvedModel& model,
                           const std::string& path, c10::Device device, c10::ScalarType precision) {
  const at::NoGradGuard no_grad;
  // Before anything is read: what is wrong with the last block shows at once.
  check_weights(checkpoint, model, path);
  TensorTaker taker(checkpoint, path, /*only_check=*/false);
  return Preparation(taker, checkpoint, model, device, precision).run();
}

void check_weights(const CanonicalCheckpoint& checkpoint, const ResolvedModel& model,
                   const std::string& path) {
  TensorTaker taker(checkpoint, path, /*only_check=*/true);
  Preparation(taker, checkpoint, model, c10::kCPU, c10::ScalarType::Float).run();
  taker.finish();
}

}  // namespace last
