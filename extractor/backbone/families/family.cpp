#include "extractor/backbone/families/family.h"

#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>

#include "extractor/backbone/families/dinov2.h"
#include "extractor/backbone/families/open_clip.h"
#include "extractor/backbone/families/timm.h"
#include "extractor/backbone/families/torchvision.h"
#include "extractor/backbone/families/transformers_clip.h"
#include "extractor/backbone/families/transformers_vit.h"

namespace last {

std::span<const Family> families() {
  static const Family kFamilies[] = {
      dinov2_family(),    transformers_vit_family(), transformers_clip_family(),
      open_clip_family(), torchvision_family(),      timm_family()};
  return kFamilies;
}

void ignore_what_maps_do_not_need(CanonicalCheckpoint& checkpoint) {
  ignore(checkpoint.tensors, checkpoint.ignored,
         {{"head.", "classification head"},
          {"head_dist.", "classification head"},
          {"pre_logits.", "classification head"},
          {"attn_pool.", "attention pooling"},
          {"mask_token", "only used in pre-training"},
          {"decoder", "decoder of pre-training"}});
  std::vector<std::string> counters;
  for (const auto& [name, entry] : checkpoint.tensors) {
    if (name.ends_with(".num_batches_tracked")) counters.push_back(name);
  }
  for (const std::string& name : counters) {
    checkpoint.ignored.push_back({checkpoint.tensors[name].origin, "a counter of training"});
    checkpoint.tensors.erase(name);
  }
  if (checkpoint.tensors.count("norm.weight") != 0) {
    ignore(checkpoint.tensors, checkpoint.ignored,
           {{"fc_norm.", "norm of the classification head; the final norm is there"}});
  }
}

void fold_cls_position(StateDict& tensors) {
  const auto cls = tensors.find("cls_token");
  const auto positions = tensors.find("pos_embed");
  if (cls == tensors.end() || positions == tensors.end()) return;  // reported as missing later
  at::Tensor& rows = positions->second.tensor;
  if (rows.dim() != 3 || rows.size(1) < 2) return;  // reported as mis-shaped later
  at::Tensor& token = cls->second.tensor;
  token = token.to(c10::ScalarType::Float) + rows.narrow(1, 0, 1).to(c10::ScalarType::Float);
  rows = rows.narrow(1, 1, rows.size(1) - 1);
}

void add_token_dimensions(StateDict& tensors) {
  for (const auto& [name, dims] : {std::pair{"cls_token", 1}, std::pair{"pos_embed", 2}}) {
    const auto found = tensors.find(name);
    if (found == tensors.end() || found->second.tensor.dim() != dims) continue;
    at::Tensor& tensor = found->second.tensor;
    while (tensor.dim() < 3) tensor = tensor.unsqueeze(0);
  }
}

}  // namespace last
