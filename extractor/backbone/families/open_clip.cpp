#include "extractor/backbone/families/open_clip.h"

namespace last {
namespace {

bool recognises(const StateDict& tensors) {
  return tensors.count("class_embedding") != 0 && tensors.count("conv1.weight") != 0 &&
         tensors.count("transformer.resblocks.0.ln_1.weight") != 0;
}

CanonicalCheckpoint convert(StateDict tensors) {
  CanonicalCheckpoint checkpoint;
  ignore(tensors, checkpoint.ignored,
         {{"proj", "projection to the space shared with text"}, {"attn_pool.", "pooling"}});
  checkpoint.tensors = renamed(tensors, {{"class_embedding", "cls_token"},
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
                                         {".mlp.c_proj.", ".mlp.fc2."}});
  add_token_dimensions(checkpoint.tensors);
  checkpoint.hints.norm_eps = 1e-5;
  checkpoint.hints.pos_embed = PosEmbedMode::kTimm;
  return checkpoint;
}

}  // namespace

Family open_clip_family() { return {"open-clip", "OpenAI CLIP or open_clip", recognises, convert}; }

}  // namespace last
