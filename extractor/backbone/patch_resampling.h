#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include <ATen/core/Tensor.h>

namespace last {

// The patch embedding for patches of another size, as FlexiViT does it (arXiv 2212.08013, section
// 3.4) and timm's resample_patch_embed computes it: the kernel w' whose product with an enlarged
// patch B x is as near as possible to that of w with x, w' = pinv(B)^T w, B being bicubic,
// antialiased resizing of patches.
//   kernel  fp32 [D, 3, height, width] -> [D, 3, new_height, new_width]; unchanged for its own size
at::Tensor resample_patch_kernel(const at::Tensor& kernel, int64_t new_height, int64_t new_width);

// "16" or "16x8" (width x height) -> height, width; anything else is a UsageError.
std::pair<int64_t, int64_t> parse_patch_size(const std::string& text);

}  // namespace last
