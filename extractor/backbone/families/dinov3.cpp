#include "extractor/backbone/families/dinov3.h"

#include <string>

#include "common/error.h"
#include "common/tensor_file/safetensors_header.h"
#include "extractor/backbone/families/projections.h"

namespace last {
namespace {

// Under Meta's own names.
bool is_metas(const StateDict& tensors) {
  return tensors.count("storage_tokens") != 0 || tensors.count("rope_embed.periods") != 0 ||
         any_block_has(tensors, ".attn.qkv.bias_mask");
}

bool applies(const StateDict& tensors) {
  if (is_metas(tensors)) return true;
  // timm's: of its models only these have no position embedding and LayerScale by this name. (Of
  // others the position embedding may be missing.)
  return tensors.count("pos_embed") == 0 && any_block_has(tensors, ".gamma_1") &&
         !any_block_has(tensors, ".attn.qkv.bias");
}

// [q, k, v] with a bias_mask beside it, whose middle third is 0: the keys have no bias. The model
// multiplies both.
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
    if (bias != tensors.end()) {
      bias->second = changed(
          bias->second, bias->second.shape, [read = mask->second.read](const at::Tensor& value) {
            return value.to(c10::ScalarType::Float).mul(read().to(c10::ScalarType::Float));
          });
    }
    checkpoint.ignored.push_back(
        {mask->second.origin, "multiplied with the bias, which it takes from the keys"});
    tensors.erase(mask);
  }
}

const Replacements& names() {
  static const Replacements kNames = {
      {"storage_tokens", "reg_token"},
      {"rope_embed.periods", "rope.periods"},
      {".gamma_1", ".ls1.gamma"},
      {".gamma_2", ".ls2.gamma"},
  };
  return kNames;
}

CanonicalCheckpoint convert(const StateDict& tensors) {
  CanonicalCheckpoint checkpoint;
  const bool metas = is_metas(tensors);
  if (tensors.count(metas ? "storage_tokens" : "reg_token") == 0) {
    fail_missing(tensors, "reg_token", [](const auto& name) {
      return name.ends_with(".bias_mask") || name == "mask_token";
    });
  }
  if (metas && tensors.count("rope_embed.periods") == 0) {
    checkpoint.notes.push_back(
        "rope_embed.periods is not there: the rotary periods are computed from DINOv3's base, 100");
  }
  checkpoint.tensors = renamed(tensors, names());
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
  return {"dinov3", "DINOv3", {"patch_embed.proj.weight", "cls_token", "blocks.0.norm1.weight"},
          applies,  convert,  nullptr,
          names};
}

}  // namespace last
