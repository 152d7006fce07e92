#pragma once

#include <span>
#include <string>
#include <vector>

#include "extractor/backbone/architecture.h"
#include "extractor/backbone/state_dict.h"

namespace last {

// A checkpoint under the names of timm's VisionTransformer, the ones that the rest of the program
// knows:
//   cls_token [1, 1, D], dist_token [1, 1, D], reg_token [1, R, D] (each may be missing)
//   pos_embed [1, P or P + prefix, D], patch_embed.proj.{weight [D, 3, p, p], bias}
//   norm_pre.{weight, bias}, blocks.{i}.{norm1, attn.qkv, attn.proj, ls1.gamma, norm2, mlp.fc1,
//   mlp.fc2, ls2.gamma}, norm.{weight, bias} or fc_norm.{weight, bias}
struct CanonicalCheckpoint {
  StateDict tensors;
  std::vector<IgnoredTensor> ignored;
  ArchitectureHints hints;  // what is the same in all models of the family
};

// One naming scheme of checkpoints.
struct Family {
  const char* name;         // for --model
  const char* description;  // for people
  bool (*recognises)(const StateDict& tensors);
  CanonicalCheckpoint (*convert)(StateDict tensors);
};

// In the order in which they are tried: those with the most particular marks first.
std::span<const Family> families();

// Takes out of canonical names what the maps don't need (heads, decoders, mask tokens), with
// reasons.
void ignore_what_maps_do_not_need(CanonicalCheckpoint& checkpoint);

// For models in which cls has a position embedding and registers have none: adds it to cls_token
// and takes it out of pos_embed, so that none of the prefix tokens has one.
void fold_cls_position(StateDict& tensors);

// cls_token [D] -> [1, 1, D], pos_embed [n, D] -> [1, n, D]
void add_token_dimensions(StateDict& tensors);

}  // namespace last
