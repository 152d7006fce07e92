#pragma once

#include <cstdint>
#include <string>

#include "extractor/backbone/families/family.h"
#include "extractor/backbone/report.h"
#include "extractor/backbone/vit_config.h"

namespace last {

// The command line's options about the backbone.
struct BackboneOptions {
  std::string weights;         // --weights, a file or a folder
  std::string model = "auto";  // --model: auto, a family, or a timm architecture's name
  // Whether that name has to be known, and the weights of its size; without, any that looks like
  // one of timm's says what it can.
  bool strict_model = false;
  int64_t heads = 0;  // --heads, 0: auto
  std::string activation = "auto";
  double norm_eps = 0;  // --norm-eps, 0: auto
  std::string pos_embed = "auto";
  std::string patch_size = "auto";  // --patch-size: auto, N or WxH; resamples the patch embedding
  int64_t image_height = 0;         // pixels; 0: the size that the model was made for
  int64_t image_width = 0;
};

// Where the rows of pos_embed belong.
struct PositionLayout {
  int64_t prefix = 0;  // rows for prefix tokens: all or none of these have one
  int64_t grid_height = 0;
  int64_t grid_width = 0;
};

struct ResolvedModel {
  VitConfig config;
  PositionLayout positions;         // all 0 without pos_embed
  int64_t stored_patch_height = 0;  // of the checkpoint's patch embedding
  int64_t stored_patch_width = 0;
};

// Puts the shapes of the tensors and the hints together, those of the command line first, then
// --model NAME, then files beside the weights, then the family. Every decision goes into `report`.
// What nothing decides is left 0 and reported as undecided; contradictions are Errors.
ResolvedModel resolve_model(const CanonicalCheckpoint& checkpoint, const BackboneOptions& options,
                            ArchitectureHints sidecar, BackboneReport& report);

}  // namespace last
