#include "extractor/backbone/position_embedding.h"

#include <array>

#include <ATen/ops/_upsample_bicubic2d_aa.h>
#include <ATen/ops/upsample_bicubic2d.h>
#include <ATen/ops/upsample_bilinear2d.h>

#include "common/error.h"

namespace last {

std::string to_string(PosEmbedMode value) {
  switch (value) {
    case PosEmbedMode::kTimm:
      return "timm";
    case PosEmbedMode::kDino:
      return "dino";
    case PosEmbedMode::kTransformers:
      return "transformers";
    case PosEmbedMode::kBigVision:
      return "big-vision";
    case PosEmbedMode::kTimmNpz:
      return "timm-npz";
    case PosEmbedMode::kTorchvision:
      return "torchvision";
  }
  fail("a position embedding mode without a name");
}

PosEmbedMode parse_pos_embed_mode(const std::string& name) {
  for (const PosEmbedMode value :
       {PosEmbedMode::kTimm, PosEmbedMode::kDino, PosEmbedMode::kTransformers,
        PosEmbedMode::kBigVision, PosEmbedMode::kTimmNpz, PosEmbedMode::kTorchvision}) {
    if (name == to_string(value)) return value;
  }
  fail_usage("--pos-embed ", name,
             ": auto, timm, dino, transformers, big-vision, timm-npz or torchvision expected");
}

at::Tensor resample_positions(const at::Tensor& positions, int64_t height, int64_t width,
                              int64_t new_height, int64_t new_width, PosEmbedMode mode) {
  if (height == new_height && width == new_width) return positions;
  const int64_t dim = positions.size(1);
  const at::Tensor grid = positions.reshape({1, height, width, dim}).permute({0, 3, 1, 2});
  const std::array<int64_t, 2> size{new_height, new_width};
  at::Tensor result;
  switch (mode) {
    case PosEmbedMode::kTimm:
      result = at::_upsample_bicubic2d_aa(grid, size, /*align_corners=*/false);
      break;
    case PosEmbedMode::kDino:
      // The 0.1 guarded a floor() against rounding; it also shifts where the kernel samples.
      result = at::upsample_bicubic2d(grid, size, /*align_corners=*/false,
                                      (static_cast<double>(new_height) + 0.1) / height,
                                      (static_cast<double>(new_width) + 0.1) / width);
      break;
    case PosEmbedMode::kTransformers:
      result = at::upsample_bicubic2d(grid, size, /*align_corners=*/false);
      break;
    case PosEmbedMode::kBigVision:
      result = at::upsample_bilinear2d(grid, size, /*align_corners=*/true);
      break;
    case PosEmbedMode::kTimmNpz:
      result = at::upsample_bilinear2d(grid, size, /*align_corners=*/false);
      break;
    case PosEmbedMode::kTorchvision:
      result = at::upsample_bicubic2d(grid, size, /*align_corners=*/true);
      break;
  }
  return result.permute({0, 2, 3, 1}).reshape({new_height * new_width, dim});
}

}  // namespace last
