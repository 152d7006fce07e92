#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "extractor/backbone/vit_config.h"

namespace last {

// What a source (the command line, a file beside the weights, a checkpoint family, a model's name)
// knows about a model beyond the shapes of its tensors.
struct ArchitectureHints {
  std::string source;            // for people: "config.json"
  std::optional<int64_t> dim;    // to notice a file that belongs to another model
  std::optional<int64_t> depth;  // to notice missing blocks
  std::optional<int64_t> heads;
  std::optional<Activation> activation;  // of plain MLPs; gated ones have SiLU ..
  bool states_gate = false;              // .. unless this says that they have it too
  std::optional<double> norm_eps;
  std::optional<NormPlace> norm_place;
  std::optional<PosEmbedMode> pos_embed;
  std::optional<PatchResampling> patch_resampling;
  std::optional<RopeConfig> rope;
  // What the model has at least; a file with less lacks a tensor.
  std::optional<bool> has_cls_token;
  std::optional<int64_t> registers;
  std::optional<std::array<int64_t, 2>> image;  // height, width it was made for
  std::optional<std::array<double, 3>> mean;
  std::optional<std::array<double, 3>> std;
  // Of these ("activation", ..): what the source says is usual, but not certain.
  std::set<std::string> assumed;
  // Of these: what the source says, which this program doesn't know. It is not for others to
  // decide.
  std::map<std::string, std::string> unknown;
};

// Attention heads of the published models of this size; nothing for others. `gated`: SwiGLU.
std::optional<int64_t> known_heads(int64_t dim, int64_t depth, bool gated);

// Whether the name can be one of timm's ViTs ("vit_base_patch16_224", "eva02_..", ..).
bool is_timm_name(const std::string& name);

// What a timm architecture name ("vit_base_patch16_clip_quickgelu_224") says about a model; nothing
// but the source for names that say nothing special. An Error for architectures that have the
// tensors of a plain ViT but compute something else.
ArchitectureHints hints_of_timm_name(const std::string& name);

// Hints from config.json, open_clip_config.json and preprocessor_config.json beside `weights`
// (timm's, transformers' and open_clip's layouts); without such files all empty. A file that isn't
// JSON is an Error.
ArchitectureHints read_sidecar_files(const std::string& weights);

}  // namespace last
