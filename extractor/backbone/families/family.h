#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
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
  bool has_all_biases = false;          // no linear layer of a block is without
  bool prefix_lacks_positions = false;  // pos_embed is known to be of patches alone
  bool may_have_registers = false;      // models of this kind with registers and without are known
  // Whatever pos_embed has for the cls token, it has nothing for registers.
  bool registers_lack_positions = false;
  // What the file would call a canonical name that it lacks; null: the same.
  std::function<std::string(const std::string&)> file_name;
};

// A tensor that a file of its family has to have.
class MissingTensor : public Error {
 public:
  // `name` is the file's, or canonical where the tensors don't tell; `unknown`: those in the file
  // that may stand for it.
  MissingTensor(std::string name, bool is_canonical, std::vector<std::string> unknown);

  // The same Error with the name that `file_name` gives a canonical one.
  [[noreturn]] void fail_as(const std::string& place,
                            const std::function<std::string(const std::string&)>& file_name) const;

 private:
  std::string name_;
  bool is_canonical_;
  std::vector<std::string> unknown_;
};

// Whether a tensor can have this name in a CanonicalCheckpoint.
bool is_canonical_name(const std::string& name);
// All canonical names of a model with this many blocks.
std::vector<std::string> canonical_names(int64_t depth);
// 1 + the largest i of blocks.{i}.*
int64_t count_blocks(const StateDict& tensors);
// Whether there is a blocks.{i}.* that ends so.
bool any_block_has(const StateDict& tensors, std::string_view ending);
// Whether there is a blocks.{i}.NAME.{weight, bias}: a norm that lacks one of them is no other
// model.
bool any_block_has_norm(const StateDict& tensors, const std::string& name);
// Likewise outside of blocks.
bool has_norm(const StateDict& tensors, const std::string& name);
// What the file calls, or would call, the tensor `name`: as in another block, else as its family's
// files do.
std::string name_in_file(const CanonicalCheckpoint& checkpoint, const std::string& name);
// A MissingTensor that may be one of the names that are neither canonical nor `is_known`.
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
  CanonicalCheckpoint (*convert)(const StateDict& tensors);
  // Evidence outside of the model's own tensors, in the whole file; null: none.
  void (*look_around)(const StateDict& file, ArchitectureHints& hints) = nullptr;
  // What convert() renames; null: it does otherwise, and undo_names tells how to go back.
  const Replacements& (*names)() = nullptr;
  std::string (*undo_names)(const StateDict& tensors, const std::string& name) = nullptr;

  bool recognises(const StateDict& tensors) const;
  // What a file of the family with these tensors would call what has this canonical name.
  std::string file_name(const StateDict& tensors, const std::string& canonical) const;
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
