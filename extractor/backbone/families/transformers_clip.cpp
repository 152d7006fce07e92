#include "extractor/backbone/families/transformers_clip.h"

#include "extractor/backbone/fuse_rows.h"

namespace last {
namespace {

const Replacements& names() {
  static const Replacements kNames = {
      {"embeddings.class_embedding", "cls_token"},
      {"embeddings.patch_embedding.", "patch_embed.proj."},
      {"embeddings.position_embedding.weight", "pos_embed"},
      {"encoder.layers.", "blocks."},
      {".self_attn.q_proj.", ".attn.q."},
      {".self_attn.k_proj.", ".attn.k."},
      {".self_attn.v_proj.", ".attn.v."},
      {".self_attn.out_proj.", ".attn.proj."},
      {".layer_norm1.", ".norm1."},
      {".layer_norm2.", ".norm2."},
      {"pre_layrnorm.", "norm_pre."},
      {"post_layernorm.", "norm."},
  };
  return kNames;
}

CanonicalCheckpoint convert(const StateDict& tensors) {
  CanonicalCheckpoint checkpoint;
  checkpoint.tensors = renamed(tensors, names());
  ignore(checkpoint.tensors, checkpoint.ignored,
         {{"embeddings.position_ids", "a constant"}, {"head.", "attention pooling"}});
  ignore_what_maps_do_not_need(checkpoint);
  fuse_rows(checkpoint.tensors, ".attn.", {"q", "k", "v"}, "qkv");
  add_token_dimensions(checkpoint.tensors);
  const bool clip = has_norm(checkpoint.tensors, "norm_pre");
  checkpoint.may_lack_patch_bias = clip;
  ArchitectureHints& hints = checkpoint.hints;
  hints.source = clip ? "transformers' CLIP" : "transformers' SigLIP";
  // CLIP's have GELU or QuickGELU, which only config.json tells.
  if (!clip) hints.activation = Activation::kGeluTanh;
  if (!clip) hints.has_cls_token = false;
  hints.norm_eps = clip ? 1e-5 : 1e-6;
  hints.pos_embed = PosEmbedMode::kTransformers;
  clip ? set_clip_statistics(hints) : set_half_statistics(hints);
  return checkpoint;
}

}  // namespace

Family transformers_clip_family() {
  return {"transformers-clip",
          "transformers CLIP or SigLIP",
          {"embeddings.patch_embedding.weight", "embeddings.position_embedding.weight"},
          nullptr,
          convert,
          nullptr,
          names};
}

}  // namespace last
