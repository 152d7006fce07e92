#include "extractor/backbone/families/eva.h"

#include "extractor/backbone/families/projections.h"

namespace last {
namespace {

bool applies(const StateDict& tensors) {
  return any_block_has(tensors, ".attn.q_bias") || any_block_has(tensors, ".attn.q_proj.weight");
}

// The plain tensors of EVA-02's enormous model are those of a model with norms before; only its
// size tells.
bool is_enormous(const StateDict& tensors) {
  const auto patch = tensors.find("patch_embed.proj.weight");
  constexpr int64_t kDim = 1792, kDepth = 64;
  return patch->second.dim() == 4 && patch->second.shape[0] == kDim &&
         count_blocks(tensors) == kDepth;
}

const Replacements& names() {
  static const Replacements kNames = {
      {".attn.inner_attn_ln.", ".attn.norm."},
      {".mlp.ffn_ln.", ".mlp.norm."},
      {".gamma_1", ".ls1.gamma"},
      {".gamma_2", ".ls2.gamma"},
  };
  return kNames;
}

CanonicalCheckpoint convert(const StateDict& tensors) {
  CanonicalCheckpoint checkpoint;
  checkpoint.tensors = renamed(tensors, names());
  const std::string computed = "rotary angles, which are computed";
  ignore(checkpoint.tensors, checkpoint.ignored,
         {{"rope.", computed}, {"lm_head.", "head of pre-training"}});
  ignore_endings(checkpoint.tensors, checkpoint.ignored,
                 {{".rope.freqs_cos", computed}, {".rope.freqs_sin", computed}});
  ignore_what_maps_do_not_need(checkpoint);
  join_projections(checkpoint.tensors);
  if (any_block_has(checkpoint.tensors, ".mlp.norm.weight") &&
      !any_block_has(checkpoint.tensors, ".attn.norm.weight")) {
    checkpoint.notes.push_back(
        "no norm is inside attention, as in EVA-02; the models of EVA-02-CLIP have one");
  }
  ArchitectureHints& hints = checkpoint.hints;
  hints.source = "EVA's models of this kind";
  hints.activation = Activation::kGelu;
  hints.norm_eps = 1e-6;
  hints.pos_embed = PosEmbedMode::kTimm;
  // Of EVA-02 all but the enormous model have SwiGLU, and those have the rotary embedding.
  hints.rope = is_gated(checkpoint.tensors) ? eva_rope() : RopeConfig{};
  hints.norm_place = is_enormous(checkpoint.tensors) ? NormPlace::kAfter : NormPlace::kBefore;
  set_clip_statistics(hints);
  return checkpoint;
}

}  // namespace

Family eva_family() {
  return {"eva",
          "EVA-01, EVA-02 or EVA-CLIP",
          {"patch_embed.proj.weight", "pos_embed"},
          applies,
          convert,
          nullptr,
          names};
}

}  // namespace last
