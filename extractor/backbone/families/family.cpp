#include "extractor/backbone/families/family.h"

#include "extractor/backbone/families/timm.h"

namespace last {

std::span<const Family> families() {
  static const Family kFamilies[] = {timm_family()};
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

}  // namespace last
