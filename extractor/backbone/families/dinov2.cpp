#include "extractor/backbone/families/dinov2.h"

#include <algorithm>
#include <cctype>

namespace last {
namespace {

// Where "i.rest" begins in blocks.{chunk}.{i}.rest; npos if the name isn't one of a chunk.
size_t index_in_chunk(const std::string& name) {
  const size_t chunk = name.find('.') + 1;
  const size_t index = name.find('.', chunk) + 1;
  const bool chunked = name.starts_with("blocks.") && index != 0 && index < name.size() &&
                       std::isdigit(static_cast<unsigned char>(name[index])) != 0;
  return chunked ? index : std::string::npos;
}

bool applies(const StateDict& tensors) {
  if (tensors.count("register_tokens") != 0) return true;
  // MAE has a mask token too, [1, 1, D of the decoder]
  const auto mask = tensors.find("mask_token");
  if (mask != tensors.end() && mask->second.dim() == 2) return true;
  return std::ranges::any_of(tensors, [](const auto& entry) {
    return index_in_chunk(entry.first) != std::string::npos ||
           entry.first.find(".mlp.w12.") != std::string::npos;
  });
}

// blocks.{chunk}.{i}.rest -> blocks.{i}.rest
StateDict without_chunks(const StateDict& tensors) {
  StateDict result;
  for (const auto& [name, entry] : tensors) {
    const size_t index = index_in_chunk(name);
    insert_new(result, index != std::string::npos ? "blocks." + name.substr(index) : name, entry);
  }
  return result;
}

const Replacements& names() {
  static const Replacements kNames = {
      {"register_tokens", "reg_token"},
      {".mlp.w12.", ".mlp.fc1."},
      {".mlp.w3.", ".mlp.fc2."},
  };
  return kNames;
}

CanonicalCheckpoint convert(const StateDict& tensors) {
  CanonicalCheckpoint checkpoint;
  checkpoint.tensors = renamed(without_chunks(tensors), names());
  ignore_what_maps_do_not_need(checkpoint);
  const bool registers = checkpoint.tensors.count("reg_token") != 0;
  if (registers) fold_cls_position(checkpoint);
  checkpoint.may_have_registers = true;
  checkpoint.registers_lack_positions = true;
  checkpoint.hints.source = "DINOv2's models";
  set_imagenet_statistics(checkpoint.hints);
  checkpoint.hints.activation = Activation::kGelu;
  checkpoint.hints.norm_eps = 1e-6;
  // The models with registers resample as timm does.
  checkpoint.hints.pos_embed = registers ? PosEmbedMode::kTimm : PosEmbedMode::kDino;
  return checkpoint;
}

}  // namespace

Family dinov2_family() {
  return {"dinov2", "DINOv2", {"patch_embed.proj.weight", "cls_token", "pos_embed"},
          applies,  convert,  nullptr,
          names};
}

}  // namespace last
