#include "extractor/backbone/families/torchvision.h"

namespace last {
namespace {

const Replacements& names() {
  static const Replacements kNames = {
      {"class_token", "cls_token"},
      {"encoder.pos_embedding", "pos_embed"},
      {"conv_proj.", "patch_embed.proj."},
      {"encoder.layers.encoder_layer_", "blocks."},
      {"encoder.ln.", "norm."},
      {".ln_1.", ".norm1."},
      {".ln_2.", ".norm2."},
      {".self_attention.in_proj_", ".attn.qkv."},
      {".self_attention.out_proj.", ".attn.proj."},
      {".mlp.0.", ".mlp.fc1."},
      {".mlp.3.", ".mlp.fc2."},
      {".mlp.linear_1.", ".mlp.fc1."},
      {".mlp.linear_2.", ".mlp.fc2."},
  };
  return kNames;
}

CanonicalCheckpoint convert(const StateDict& model) {
  CanonicalCheckpoint checkpoint;
  StateDict tensors = model;
  ignore(tensors, checkpoint.ignored, {{"heads.", "classification head"}});
  checkpoint.tensors = renamed(tensors, names());
  checkpoint.hints.source = "torchvision's models";
  set_imagenet_statistics(checkpoint.hints);
  checkpoint.hints.activation = Activation::kGelu;
  checkpoint.hints.norm_eps = 1e-6;
  checkpoint.hints.pos_embed = PosEmbedMode::kTorchvision;
  return checkpoint;
}

}  // namespace

Family torchvision_family() {
  return {"torchvision", "torchvision ViT", {"conv_proj.weight", "class_token"},
          nullptr,       convert,           nullptr,
          names};
}

}  // namespace last
