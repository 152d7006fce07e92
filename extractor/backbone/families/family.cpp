#include "extractor/backbone/families/family.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>

#include "common/error.h"
#include "common/tensor_file/safetensors_header.h"
#include "extractor/backbone/families/dinov2.h"
#include "extractor/backbone/families/dinov3.h"
#include "extractor/backbone/families/eva.h"
#include "extractor/backbone/families/google.h"
#include "extractor/backbone/families/open_clip.h"
#include "extractor/backbone/families/timm.h"
#include "extractor/backbone/families/torchvision.h"
#include "extractor/backbone/families/transformers_clip.h"
#include "extractor/backbone/families/transformers_dinov3.h"
#include "extractor/backbone/families/transformers_vit.h"

namespace last {
namespace {

constexpr std::array kOutsideBlocks{
    "cls_token",       "dist_token",    "reg_token",   "pos_embed", "patch_embed.proj.weight",
    "norm_pre.weight", "norm_pre.bias", "norm.weight", "norm.bias", "patch_embed.proj.bias",
    "fc_norm.weight",  "fc_norm.bias",  "rope.periods"};
constexpr std::array kInBlocks{
    "norm1.weight",   "norm1.bias",     "attn.qkv.weight",  "attn.qkv.bias",   "attn.norm.weight",
    "attn.norm.bias", "attn.proj.bias", "attn.proj.weight", "ls1.gamma",       "norm2.weight",
    "norm2.bias",     "mlp.fc1.weight", "mlp.fc1.bias",     "mlp.norm.weight", "mlp.norm.bias",
    "mlp.fc2.weight", "mlp.fc2.bias",   "ls2.gamma"};
constexpr std::string_view kBlocks = "blocks.";

// i of blocks.{i}.rest, and the rest; i < 0 for other names.
std::pair<int64_t, std::string_view> split_block_name(const std::string& name) {
  if (!name.starts_with(kBlocks)) return {-1, name};
  int64_t index = 0;
  const char* begin = name.data() + kBlocks.size();
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(begin, end, index);
  // More blocks than any ViT has are no index but a name that nobody knows.
  if (parsed.ec != std::errc() || index < 0 || index >= 1000 || parsed.ptr == end ||
      *parsed.ptr != '.') {
    return {-1, name};
  }
  return {index, std::string_view(parsed.ptr + 1, static_cast<size_t>(end - parsed.ptr - 1))};
}

// What both begin with.
std::string_view common_start(std::string_view a, std::string_view b) {
  return a.substr(0, static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin()));
}

}  // namespace

bool is_canonical_name(const std::string& name) {
  const auto [index, rest] = split_block_name(name);
  if (index < 0) return std::ranges::find(kOutsideBlocks, name) != kOutsideBlocks.end();
  return std::ranges::find(kInBlocks, rest) != kInBlocks.end();
}

std::vector<std::string> canonical_names(int64_t depth) {
  std::vector<std::string> names(kOutsideBlocks.begin(), kOutsideBlocks.end());
  for (int64_t i = 0; i < depth; ++i) {
    for (const char* name : kInBlocks) names.push_back(concat(kBlocks, i, ".", name));
  }
  return names;
}

int64_t count_blocks(const StateDict& tensors) {
  int64_t depth = 0;
  for (const auto& [name, entry] : tensors) {
    depth = std::max(depth, split_block_name(name).first + 1);
  }
  return depth;
}

bool any_block_has(const StateDict& tensors, std::string_view ending) {
  return std::ranges::any_of(tensors, [&](const auto& entry) {
    return entry.first.starts_with(kBlocks) && entry.first.ends_with(ending);
  });
}

bool any_block_has_norm(const StateDict& tensors, const std::string& name) {
  return any_block_has(tensors, concat(".", name, ".weight")) ||
         any_block_has(tensors, concat(".", name, ".bias"));
}

bool has_norm(const StateDict& tensors, const std::string& name) {
  return tensors.count(name + ".weight") != 0 || tensors.count(name + ".bias") != 0;
}

namespace {

// As in another block; nothing where no other tells.
std::optional<std::string> name_by_other_block(const StateDict& tensors, const std::string& name) {
  const auto [block, rest] = split_block_name(name);
  const auto below = [](int64_t i) { return concat(kBlocks, i, "."); };
  for (int64_t i = 0, depth = count_blocks(tensors); block >= 0 && i < depth; ++i) {
    const auto other = tensors.find(below(i) + std::string(rest));
    if (other == tensors.end()) continue;
    // What the names of the two blocks begin with in the file, by the tensors that both have.
    std::string_view start = "", other_start = "";
    bool known = false;
    for (const auto& [inside, tensor] : below_prefix(tensors, below(block))) {
      const auto mine = tensors.find(below(block) + inside),
                 theirs = tensors.find(below(i) + inside);
      if (theirs == tensors.end()) continue;
      start = known ? common_start(start, mine->second.origin) : mine->second.origin;
      other_start =
          known ? common_start(other_start, theirs->second.origin) : theirs->second.origin;
      known = true;
    }
    if (known && other->second.origin.starts_with(other_start)) {
      return concat(start, other->second.origin.substr(other_start.size()));
    }
  }
  return std::nullopt;
}

}  // namespace

std::string name_in_file(const CanonicalCheckpoint& checkpoint, const std::string& name) {
  if (const auto found = checkpoint.tensors.find(name); found != checkpoint.tensors.end()) {
    return found->second.origin;
  }
  if (auto other = name_by_other_block(checkpoint.tensors, name)) return *other;
  return checkpoint.file_name ? checkpoint.file_name(name) : name;
}

MissingTensor::MissingTensor(std::string name, bool is_canonical, std::vector<std::string> unknown)
    : Error(concat("tensor ", quoted_name(name), " is missing")),
      name_(std::move(name)),
      is_canonical_(is_canonical),
      unknown_(std::move(unknown)) {}

void MissingTensor::fail_as(const std::string& place,
                            const std::function<std::string(const std::string&)>& file_name) const {
  const std::string name = is_canonical_ ? file_name(name_) : name_;
  const std::string nearest = nearest_name(name, unknown_);
  fail(place, "tensor ", quoted_name(name), " is missing",
       nearest.empty() ? "" : "; the nearest name is " + quoted_name(nearest));
}

void fail_missing(const StateDict& tensors, const std::string& name,
                  const std::function<bool(const std::string&)>& is_known) {
  const std::optional<std::string> missing = name_by_other_block(tensors, name);
  std::vector<std::string> unknown;
  for (const auto& [candidate, tensor] : tensors) {
    if (!is_canonical_name(candidate) && !is_known(candidate)) unknown.push_back(tensor.origin);
  }
  throw MissingTensor(missing.value_or(name), !missing, std::move(unknown));
}

bool Family::recognises(const StateDict& tensors) const {
  return std::ranges::all_of(marks, [&](const auto& mark) { return tensors.count(mark) != 0; }) &&
         (applies == nullptr || applies(tensors));
}

std::string Family::file_name(const StateDict& tensors, const std::string& canonical) const {
  if (names != nullptr) return undo_renaming(names(), tensors, canonical);
  return undo_names == nullptr ? canonical : undo_names(tensors, canonical);
}

std::span<const Family> families() {
  static const Family kFamilies[] = {google_family(),
                                     dinov3_family(),
                                     dinov2_family(),
                                     eva_family(),
                                     transformers_vit_family(),
                                     transformers_dinov3_family(),
                                     transformers_clip_family(),
                                     open_clip_family(),
                                     torchvision_family(),
                                     timm_family()};
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
  ignore_endings(checkpoint.tensors, checkpoint.ignored,
                 {{".num_batches_tracked", "a counter of training"}});
  if (has_norm(checkpoint.tensors, "norm")) {
    ignore(checkpoint.tensors, checkpoint.ignored,
           {{"fc_norm.", "norm of the classification head; the final norm is there"}});
  }
}

void fold_cls_position(CanonicalCheckpoint& checkpoint) {
  StateDict& tensors = checkpoint.tensors;
  const auto cls = tensors.find("cls_token");
  const auto positions = tensors.find("pos_embed");
  if (cls == tensors.end() || positions == tensors.end()) return;  // reported as missing later
  const NamedTensor token = cls->second, rows = positions->second;
  if (rows.dim() != 3 || rows.shape[1] < 2) return;  // reported as mis-shaped later
  cls->second = changed(token, token.shape, [rows](const at::Tensor& value) {
    return value.to(c10::ScalarType::Float) +
           rows.read().narrow(1, 0, 1).to(c10::ScalarType::Float);
  });
  const int64_t count = rows.shape[1] - 1;
  positions->second =
      changed(rows, {rows.shape[0], count, rows.shape[2]},
              [count](const at::Tensor& value) { return value.narrow(1, 1, count); });
  checkpoint.prefix_lacks_positions = true;
}

void add_token_dimensions(StateDict& tensors) {
  for (const auto& [name, dims] : {std::pair{"cls_token", 1}, std::pair{"pos_embed", 2}}) {
    const auto found = tensors.find(name);
    if (found == tensors.end() || found->second.dim() != dims) continue;
    std::vector<int64_t> shape = found->second.shape;
    shape.insert(shape.begin(), static_cast<size_t>(3 - dims), 1);
    found->second = changed(found->second, shape,
                            [shape](const at::Tensor& value) { return value.reshape(shape); });
  }
}

void set_imagenet_statistics(ArchitectureHints& hints) {
  hints.mean = {0.485, 0.456, 0.406};
  hints.std = {0.229, 0.224, 0.225};
}

void set_clip_statistics(ArchitectureHints& hints) {
  hints.mean = {0.48145466, 0.4578275, 0.40821073};
  hints.std = {0.26862954, 0.26130258, 0.27577711};
}

void set_half_statistics(ArchitectureHints& hints) {
  hints.mean = {0.5, 0.5, 0.5};
  hints.std = {0.5, 0.5, 0.5};
}

}  // namespace last
