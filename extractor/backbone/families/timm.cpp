#include "extractor/backbone/families/timm.h"

namespace last {
namespace {

bool recognises(const StateDict& tensors) {
  return tensors.count("patch_embed.proj.weight") != 0 &&
         tensors.count("blocks.0.norm1.weight") != 0;
}

CanonicalCheckpoint convert(StateDict tensors) {
  CanonicalCheckpoint checkpoint;
  checkpoint.tensors = renamed(tensors, {{".gamma_1", ".ls1.gamma"}, {".gamma_2", ".ls2.gamma"}});
  ignore_what_maps_do_not_need(checkpoint);
  // timm gives the models with a norm before the blocks, which are CLIP's, 1e-5.
  checkpoint.hints.norm_eps = checkpoint.tensors.count("norm_pre.weight") != 0 ? 1e-5 : 1e-6;
  checkpoint.hints.pos_embed = PosEmbedMode::kTimm;
  return checkpoint;
}

}  // namespace

Family timm_family() { return {"timm", "timm names", recognises, convert}; }

}  // namespace last
