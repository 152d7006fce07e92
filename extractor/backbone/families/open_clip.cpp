#include "extractor/backbone/families/open_clip.h"

#include "common/error.h"

namespace last {
namespace {

// OpenAI's archives carry three numbers beside the weights; open_clip's own files don't. All of
// OpenAI's models have QuickGELU.
void look_around(const StateDict& file, ArchitectureHints& hints) {
  if (file.count("input_resolution") != 0 && file.count("context_length") != 0) {
    hints.activation = Activation::kQuickGelu;
    hints.source = "an archive of OpenAI's (it has input_resolution and context_length)";
  }
}

bool any_starts_with(const StateDict& tensors, const std::string& start) {
  const auto found = tensors.lower_bound(start);
  return found != tensors.end() && found->first.starts_with(start);
}

const Replacements& names() {
  static const Replacements kNames = {
      {"class_embedding", "cls_token"},
      {"positional_embedding", "pos_embed"},
      {"conv1.", "patch_embed.proj."},
      {"ln_pre.", "norm_pre."},
      {"ln_post.", "norm."},
      {"transformer.resblocks.", "blocks."},
      {".ln_1.", ".norm1."},
      {".ln_2.", ".norm2."},
      {".attn.in_proj_", ".attn.qkv."},
      {".attn.out_proj.", ".attn.proj."},
      {".ls_1.gamma", ".ls1.gamma"},
      {".ls_2.gamma", ".ls2.gamma"},
      {".mlp.c_fc.", ".mlp.fc1."},
      {".mlp.c_proj.", ".mlp.fc2."},
  };
  return kNames;
}

CanonicalCheckpoint convert(const StateDict& model) {
  CanonicalCheckpoint checkpoint;
  StateDict tensors = model;
  // Its own files have these names too; the ones without a pooling have no final norm either.
  if (tensors.count("attn_pool.probe") != 0 || !has_norm(tensors, "ln_post")) {
    fail("this looks like a Perception Encoder, whose rotary position embedding is not supported");
  }
  ignore(tensors, checkpoint.ignored,
         {{"proj", "projection to the space shared with text"},
          {"attn_pool_contrastive.", "pooling"}});
  if (any_starts_with(tensors, "attn_pool.")) {  // CoCa
    ignore(tensors, checkpoint.ignored,
           {{"attn_pool.", "pooling"}, {"ln_post.", "norm of what is pooled, not of the maps"}});
  }
  checkpoint.tensors = renamed(tensors, names());
  add_token_dimensions(checkpoint.tensors);
  checkpoint.may_lack_patch_bias = true;  // no model has one
  checkpoint.hints.source = "open_clip's models";
  set_clip_statistics(checkpoint.hints);
  checkpoint.hints.norm_eps = 1e-5;
  checkpoint.hints.pos_embed = PosEmbedMode::kTimm;
  return checkpoint;
}

}  // namespace

Family open_clip_family() {
  return {"open-clip",
          "OpenAI CLIP or open_clip",
          {"class_embedding", "conv1.weight", "transformer.resblocks.0.ln_1.weight"},
          nullptr,
          convert,
          look_around,
          names};
}

}  // namespace last
