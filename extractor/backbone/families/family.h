#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "extractor/backbone/architecture.h"
#include "extractor/backbone/state_dict.h"

namespace last {

// A checkpoint under the names of timm's VisionTransformer, the ones that the rest of the program
// knows:
//   cls_token [1, 1, D], dist_token [1, 1, D], reg_token [1, R, D] (each may be missing)
//   pos_embed [1, P or P + prefix, D] (missing: none), patch_embed.proj.{weight [D, 3, p, p], bias}
//   rope.periods [head_dim / 4] (DINOv3; missing: by its formula)
//   norm_pre.{weight, bias}, blocks.{i}.{norm1, attn.qkv, attn.norm, attn.proj, ls1.gamma, norm2,
//   mlp.fc1, mlp.norm, mlp.fc2, ls2.gamma}, norm.{weight, bias} or fc_norm.{weight, bias}
struct CanonicalCheckpoint {
  StateDict tensors;
  std::vector<IgnoredTensor> ignored;
  std::vector<std::string> notes;  // for people
  ArchitectureHints hints;         // what the family and its tensors tell
  bool may_lack_patch_bias = false;
  bool prefix_lacks_positions = false;  // pos_embed is known to be of patches alone
};

// Whether a tensor can have this name in a CanonicalCheckpoint.
bool is_canonical_name(const std::string& name);
// All canonical names of a model with this many blocks.
std::vector<std::string> canonical_names(int64_t depth);
// 1 + the largest i of blocks.{i}.*
int64_t count_blocks(const StateDict& tensors);
// Whether there is a blocks.{i}.* that ends so.
bool any_block_has(const StateDict& tensors, std::string_view ending);
// What the file would call the missing tensor `name`: as in another block, else `name` itself.
std::string name_in_file(const StateDict& tensors, const std::string& name);
// An Error about it, with the nearest of the names that are neither canonical nor `is_known`.
[[noreturn]] void fail_missing(const StateDict& tensors, const std::string& name,
                               const std::function<bool(const std::string&)>& is_known);

// One naming scheme of checkpoints.
struct Family {
  const char* name;         // for --model
  const char* description;  // for people
  // Names that every file of the family has.
  std::vector<std::string> marks;
  // What else tells it from others that have these names; null: nothing.
  bool (*applies)(const StateDict& tensors);
  CanonicalCheckpoint (*convert)(StateDict tensors);
  // Evidence outside of the model's own tensors, in the whole file; null: none.
  void (*look_around)(const StateDict& file, ArchitectureHints& hints) = nullptr;

  bool recognises(const StateDict& tensors) const;
};

// In the order in which they are tried: those with the most particular marks first.
std::span<const Family> families();

// Takes out of canonical names what the maps don't need (heads, decoders, mask tokens), with
// reasons.
void ignore_what_maps_do_not_need(CanonicalCheckpoint& checkpoint);

// For models in which cls has a position embedding and registers have none: adds it to cls_token
// and takes it out of pos_embed, so that none of the prefix tokens has one.
void fold_cls_position(CanonicalCheckpoint& checkpoint);

// cls_token [D] -> [1, 1, D], pos_embed [n, D] -> [1, n, D]
void add_token_dimensions(StateDict& tensors);

// Mean and standard deviation of images that published models were trained with.
void set_imagenet_statistics(ArchitectureHints& hints);
void set_clip_statistics(ArchitectureHints& hints);  // OpenAI's
void set_half_statistics(ArchitectureHints& hints);  // 0.5, 0.5

}  // namespace last
