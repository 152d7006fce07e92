#include "extractor/backbone/families/timm.h"

#include <algorithm>

#include "common/error.h"

namespace last {
namespace {

const Replacements& names() {
  static const Replacements kNames = {
      {".gamma_1", ".ls1.gamma"},
      {".gamma_2", ".ls2.gamma"},
  };
  return kNames;
}

CanonicalCheckpoint convert(const StateDict& tensors) {
  CanonicalCheckpoint checkpoint;
  checkpoint.tensors = renamed(tensors, names());
  ArchitectureHints& hints = checkpoint.hints;
  const bool clip = has_norm(checkpoint.tensors, "norm_pre");
  const bool final_norm =
      has_norm(checkpoint.tensors, "norm") || has_norm(checkpoint.tensors, "fc_norm");
  const bool pooled = checkpoint.tensors.count("attn_pool.latent") != 0;
  if (clip && (pooled || !final_norm)) {
    fail("this looks like a Perception Encoder, whose rotary position embedding is not supported");
  }
  ignore_what_maps_do_not_need(checkpoint);
  // timm gives the models with a norm before the blocks, which are CLIP's, 1e-5. Whether CLIP's
  // have GELU or QuickGELU shows nowhere; all others have GELU.
  // So it does to BEiT-3's, which are the only ones here with norms inside attention.
  const bool beit3 = any_block_has_norm(checkpoint.tensors, "attn.norm");
  hints.norm_eps = clip || beit3 ? 1e-5 : 1e-6;
  hints.pos_embed = PosEmbedMode::kTimm;
  // DINO, DeiT and MAE have the same names, and other ways of resampling.
  hints.assumed.insert("pos_embed");
  hints.source = beit3 ? "BEiT-3 in timm" : "timm's models of this kind";
  checkpoint.may_lack_patch_bias = clip;
  checkpoint.may_have_registers = !clip;
  // SigLIP's, whose attention pooling takes the place of the cls token. (Of the pooled models with
  // registers, pos_embed counts them.)
  if (pooled) hints.has_cls_token = false;
  if (pooled) hints.registers = 0;
  if (!clip) {
    hints.activation =
        is_tanh_siglip(checkpoint.tensors) ? Activation::kGeluTanh : Activation::kGelu;
  }
  if (checkpoint.tensors.count("dist_token") != 0) set_imagenet_statistics(hints);
  return checkpoint;
}

// Training checkpoints of DINO hold its head beside the model (teacher.head., student.head.).
void look_around(const StateDict& file, ArchitectureHints& hints) {
  const bool dino = std::ranges::any_of(
      file, [](const auto& entry) { return entry.first.ends_with(".head.last_layer.weight_v"); });
  if (!dino) return;
  hints.source = "DINO's models (its head is in the file)";
  hints.pos_embed = PosEmbedMode::kDino;
  hints.assumed.erase("pos_embed");
  set_imagenet_statistics(hints);
}

}  // namespace

bool is_tanh_siglip(const StateDict& tensors) {
  const auto patch = tensors.find("patch_embed.proj.weight");
  const auto positions = tensors.find("pos_embed");
  if (tensors.count("cls_token") != 0 || patch == tensors.end() || positions == tensors.end() ||
      patch->second.dim() != 4 || positions->second.dim() != 3) {
    return false;
  }
  const int64_t dim = patch->second.shape[0], size = patch->second.shape[2];
  const int64_t patches = positions->second.shape[1];
  return (dim == 768 && size == 32 && patches == 64) ||
         (dim == 1024 && size == 16 && patches == 1024) || (dim == 1152 && size == 16) ||
         (dim == 1536 && size == 16);
}

Family timm_family() {
  return {"timm",  "timm names", {"patch_embed.proj.weight", "blocks.0.norm1.weight"},
          nullptr, convert,      look_around,
          names};
}

}  // namespace last
