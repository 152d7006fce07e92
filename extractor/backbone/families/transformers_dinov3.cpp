#include "extractor/backbone/families/transformers_dinov3.h"

#include <algorithm>

#include "extractor/backbone/families/dinov3.h"
#include "extractor/backbone/fuse_rows.h"

namespace last {
namespace {

const Replacements& names() {
  static const Replacements kNames = {
      {"embeddings.cls_token", "cls_token"},
      {"embeddings.register_tokens", "reg_token"},
      {"embeddings.mask_token", "mask_token"},
      {"embeddings.patch_embeddings.", "patch_embed.proj."},
      {"model.layer.", "blocks."},  // current releases, in memory
      {"layer.", "blocks."},
      {".attention.q_proj.", ".attn.q."},
      {".attention.k_proj.", ".attn.k."},
      {".attention.v_proj.", ".attn.v."},
      {".attention.o_proj.", ".attn.proj."},
      {".layer_scale1.lambda1", ".ls1.gamma"},
      {".layer_scale2.lambda1", ".ls2.gamma"},
      {".mlp.down_proj.", ".mlp.fc2."},
  };
  return kNames;
}

bool applies(const StateDict& tensors) {
  return std::ranges::any_of(tensors, [](const auto& entry) {
    return entry.first.starts_with("layer.") || entry.first.starts_with("model.layer.");
  });
}

CanonicalCheckpoint convert(const StateDict& tensors) {
  CanonicalCheckpoint checkpoint;
  checkpoint.tensors = renamed(tensors, names());
  // up_proj is the whole of a plain MLP's first layer, and the second half of a gated one's
  const bool gated = any_block_has(checkpoint.tensors, ".mlp.gate_proj.weight");
  if (gated) {
    fuse_rows(checkpoint.tensors, ".mlp.", {"gate_proj", "up_proj"}, "fc1");
  } else {
    checkpoint.tensors = renamed(checkpoint.tensors, {{".mlp.up_proj.", ".mlp.fc1."}});
  }
  fuse_rows(checkpoint.tensors, ".attn.", {"q", "k", "v"}, "qkv",
            /*without_bias=*/"k");
  ignore_what_maps_do_not_need(checkpoint);
  // Models without registers carry an empty tensor.
  const auto registers = checkpoint.tensors.find("reg_token");
  if (registers != checkpoint.tensors.end() && registers->second.dim() == 3 &&
      registers->second.shape[1] == 0) {
    checkpoint.tensors.erase(registers);
  }
  checkpoint.may_have_registers = true;
  checkpoint.registers_lack_positions = true;
  set_dinov3_hints(checkpoint.hints);
  return checkpoint;
}

}  // namespace

Family transformers_dinov3_family() {
  return {"transformers-dinov3",
          "transformers DINOv3",
          {"embeddings.cls_token", "embeddings.patch_embeddings.weight"},
          applies,
          convert,
          nullptr,
          names};
}

}  // namespace last
