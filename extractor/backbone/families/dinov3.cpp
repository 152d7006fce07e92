#include "extractor/backbone/families/dinov3.h"

#include <string>

#include "common/error.h"
#include "common/tensor_file/safetensors_header.h"
#include "extractor/backbone/families/projections.h"

namespace last {
namespace {

bool applies(const StateDict& tensors) {
  if (tensors.count("storage_tokens") != 0) return true;
  // timm's: among its models without a position embedding only these have a cls token and registers
  return tensors.count("reg_token") != 0 && tensors.count("pos_embed") == 0;
}

// [q, k, v] with a bias_mask beside it, whose middle third is 0: the keys have no bias.
void mask_key_biases(CanonicalCheckpoint& checkpoint) {
  StateDict& tensors = checkpoint.tensors;
  if (!any_block_has(tensors, ".attn.qkv.bias_mask")) {
    if (any_block_has(tensors, ".attn.qkv.bias")) {
      checkpoint.notes.push_back(
          "no bias_mask is there: the keys keep their bias, which Meta's models mask away");
    }
    return;
  }
  const StateDict whole = tensors;
  for (int64_t i = 0, depth = count_blocks(tensors); i < depth; ++i) {
    const std::string name = concat("blocks.", i, ".attn.qkv.bias");
    const auto mask = tensors.find(name + "_mask");
    if (mask == tensors.end()) {
      fail_missing(whole, name + "_mask",
                   [](const auto& other) { return other.ends_with(".attn.qkv.bias_mask"); });
    }
    const auto bias = tensors.find(name);
    if (bias != tensors.end() && bias->second.shape != mask->second.shape) {
      fail("tensors ", quoted_name(bias->second.origin), " ", at::IntArrayRef(bias->second.shape),
           " and ", quoted_name(mask->second.origin), " ", at::IntArrayRef(mask->second.shape),
           " differ in shape");
    }
    checkpoint.ignored.push_back({mask->second.origin, "masks the bias of the keys: taken as 0"});
    tensors.erase(mask);
    if (bias == tensors.end()) continue;
    bias->second = changed(bias->second, bias->second.shape, [](const at::Tensor& value) {
      const int64_t third = value.size(0) / 3;
      at::Tensor masked = value.clone();
      masked.narrow(0, third, third).zero_();
      return masked;
    });
  }
}

CanonicalCheckpoint convert(StateDict tensors) {
  CanonicalCheckpoint checkpoint;
  checkpoint.tensors = renamed(tensors, {{"storage_tokens", "reg_token"},
                                         {"rope_embed.periods", "rope.periods"},
                                         {".gamma_1", ".ls1.gamma"},
                                         {".gamma_2", ".ls2.gamma"}});
  ignore(
      checkpoint.tensors, checkpoint.ignored,
      {{"local_cls_norm.", "only used in pre-training"}, {"projectors.", "heads of distillation"}});
  ignore_what_maps_do_not_need(checkpoint);
  mask_key_biases(checkpoint);
  join_projections(checkpoint.tensors);

  ArchitectureHints& hints = checkpoint.hints;
  set_dinov3_hints(hints);
  const auto periods = checkpoint.tensors.find("rope.periods");
  const auto patch = checkpoint.tensors.find("patch_embed.proj.weight");
  if (periods != checkpoint.tensors.end() && periods->second.dim() == 1 &&
      periods->second.shape[0] > 0 && patch->second.dim() == 4) {
    hints.heads = patch->second.shape.front() / (4 * periods->second.shape[0]);
  }
  return checkpoint;
}

}  // namespace

void set_dinov3_hints(ArchitectureHints& hints) {
  hints.source = "DINOv3's models";
  hints.activation = Activation::kGelu;
  hints.norm_eps = 1e-5;
  hints.rope = dinov3_rope();
  // The models trained on satellite images have other statistics.
  set_imagenet_statistics(hints);
}

Family dinov3_family() {
  return {"dinov3",
          "DINOv3",
          {"patch_embed.proj.weight", "cls_token", "blocks.0.norm1.weight"},
          applies,
          convert};
}

}  // namespace last
