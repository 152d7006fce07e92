#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include <ATen/core/Tensor.h>

namespace last {

// How patches are resized where a patch embedding is resampled.
enum class PatchResampling {
  kBicubic,   // antialiased: timm, for all models but FlexiViT
  kBilinear,  // without antialiasing: FlexiViT, and timm's loader of Google's .npz files
};

std::string to_string(PatchResampling value);  // "bicubic", "bilinear"

// The patch embedding for patches of another size, as FlexiViT does it (arXiv 2212.08013, section
// 3.4) and timm's resample_patch_embed computes it: the kernel w' whose product with an enlarged
// patch B x is as near as possible to that of w with x, w' = pinv(B)^T w, B being the
// resizing of patches.
//   kernel  fp32 [D, 3, height, width] -> [D, 3, new_height, new_width]; unchanged for its own size
at::Tensor resample_patch_kernel(const at::Tensor& kernel, int64_t new_height, int64_t new_width,
                                 PatchResampling mode);

// "16" or "16x8" (width x height) -> height, width; anything else is a UsageError.
std::pair<int64_t, int64_t> parse_patch_size(const std::string& text);

}  // namespace last
