#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>

namespace last {

// How position embeddings learnt on one grid of patches are brought to another. Libraries differ,
// and features differ with them.
enum class PosEmbedMode {
  kTimm,          // bicubic, antialiased; also DINOv2's models with registers
  kDino,          // bicubic with the scale (new + 0.1) / old: DINO, and DINOv2 without registers
  kTransformers,  // bicubic
  kBigVision,     // bilinear between the corners (scipy's zoom of order 1), also vision_transformer
  kTimmNpz,       // bilinear: timm's loader of Google's .npz files
  kTorchvision,   // bicubic between the corners
};

std::string to_string(PosEmbedMode value);
// "timm", "dino", "transformers", "big-vision", "timm-npz", "torchvision"; anything else is a
// UsageError.
PosEmbedMode parse_pos_embed_mode(const std::string& name);

// `positions` fp32 [h * w, D], row by row -> [new_h * new_w, D]. An unchanged grid is returned as
// it is, in every mode.
at::Tensor resample_positions(const at::Tensor& positions, int64_t height, int64_t width,
                              int64_t new_height, int64_t new_width, PosEmbedMode mode);

}  // namespace last
