#include "extractor/backbone/families/transformers_vit.h"

#include "extractor/backbone/fuse_rows.h"

namespace last {
namespace {

const Replacements& names() {
  static const Replacements kNames = {
      {"embeddings.cls_token", "cls_token"},
      {"embeddings.distillation_token", "dist_token"},
      {"embeddings.register_tokens", "reg_token"},
      {"embeddings.mask_token", "mask_token"},
      {"embeddings.position_embeddings", "pos_embed"},
      {"embeddings.patch_embeddings.projection.", "patch_embed.proj."},
      {"encoder.layer.", "blocks."},
      {".attention.attention.query.", ".attn.q."},
      {".attention.attention.key.", ".attn.k."},
      {".attention.attention.value.", ".attn.v."},
      {".attention.output.dense.", ".attn.proj."},
      {".layernorm_before.", ".norm1."},
      {".layernorm_after.", ".norm2."},
      {".intermediate.dense.", ".mlp.fc1."},
      {".output.dense.", ".mlp.fc2."},
      {".layer_scale1.lambda1", ".ls1.gamma"},
      {".layer_scale2.lambda1", ".ls2.gamma"},
      {".mlp.weights_in.", ".mlp.fc1."},
      {".mlp.weights_out.", ".mlp.fc2."},
      {"layernorm.", "norm."},
      // current releases, in memory
      {"layers.", "blocks."},
      {".attention.q_proj.", ".attn.q."},
      {".attention.k_proj.", ".attn.k."},
      {".attention.v_proj.", ".attn.v."},
      {".attention.o_proj.", ".attn.proj."},
      {".layer_norm1.", ".norm1."},
      {".layer_norm2.", ".norm2."},
      {".mlp.gate_proj.", ".mlp.gate."},
      {".mlp.up_proj.", ".mlp.up."},
      {".mlp.down_proj.", ".mlp.fc2."},
  };
  return kNames;
}

CanonicalCheckpoint convert(const StateDict& tensors) {
  CanonicalCheckpoint checkpoint;
  checkpoint.tensors = renamed(tensors, names());
  ignore(checkpoint.tensors, checkpoint.ignored, {{"pooler.", "classification head"}});
  ignore_what_maps_do_not_need(checkpoint);
  fuse_rows(checkpoint.tensors, ".attn.", {"q", "k", "v"}, "qkv");
  fuse_rows(checkpoint.tensors, ".mlp.", {"gate", "up"}, "fc1");
  const bool registers = checkpoint.tensors.count("reg_token") != 0;
  if (registers) fold_cls_position(checkpoint);
  const bool dinov2 = any_block_has(checkpoint.tensors, ".ls1.gamma");
  checkpoint.may_have_registers = dinov2;
  checkpoint.registers_lack_positions = true;
  ArchitectureHints& hints = checkpoint.hints;
  hints.source = dinov2 ? "transformers' DINOv2" : "transformers' default for ViT and DeiT";
  hints.activation = Activation::kGelu;
  hints.norm_eps = dinov2 ? 1e-6 : 1e-12;
  // A checkpoint that was converted from elsewhere may have 1e-6, and says so in its config.json.
  if (!dinov2) hints.assumed = {"activation", "norm_eps"};
  // DINOv2 with registers is antialiased here too.
  hints.pos_embed = registers ? PosEmbedMode::kTimm : PosEmbedMode::kTransformers;
  if (dinov2 || checkpoint.tensors.count("dist_token") != 0) set_imagenet_statistics(hints);
  return checkpoint;
}

}  // namespace

Family transformers_vit_family() {
  return {"transformers-vit",
          "transformers ViT, DeiT, ViT-MAE or DINOv2",
          {"embeddings.patch_embeddings.projection.weight", "embeddings.position_embeddings"},
          nullptr,
          convert,
          nullptr,
          names};
}

}  // namespace last
