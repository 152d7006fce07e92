#include "extractor/backbone/patch_resampling.h"

#include <array>
#include <charconv>

#include <ATen/ops/_upsample_bicubic2d_aa.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_pinv.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/upsample_bilinear2d.h>

#include "common/error.h"

namespace last {

std::string to_string(PatchResampling value) {
  return value == PatchResampling::kBicubic ? "bicubic" : "bilinear";
}

at::Tensor resample_patch_kernel(const at::Tensor& kernel, int64_t new_height, int64_t new_width,
                                 PatchResampling mode) {
  const int64_t dim = kernel.size(0), height = kernel.size(2), width = kernel.size(3);
  if (height == new_height && width == new_width) return kernel;
  const int64_t old_size = height * width, new_size = new_height * new_width;
  const at::Tensor units =
      at::eye(old_size, c10::ScalarType::Float).reshape({old_size, 1, height, width});
  // B [new, old]: column i is the i-th unit patch, resized
  const std::array<int64_t, 2> size{new_height, new_width};
  const at::Tensor resized = mode == PatchResampling::kBicubic
                                 ? at::_upsample_bicubic2d_aa(units, size, /*align_corners=*/false)
                                 : at::upsample_bilinear2d(units, size, /*align_corners=*/false);
  const at::Tensor resize = resized.reshape({old_size, new_size}).t();
  // In fp32, as there: B of a patch that grows along one side and shrinks along the other has tiny
  // singular values, and the precision decides which of them count as 0.
  // w' = w pinv(B) for rows w of length `old`
  return kernel.reshape({dim, 3, old_size})
      .matmul(at::linalg_pinv(resize))
      .reshape({dim, 3, new_height, new_width});
}

std::pair<int64_t, int64_t> parse_patch_size(const std::string& text) {
  constexpr int64_t kLargest = 256;
  const char* const end = text.data() + text.size();
  int64_t width = 0, height = 0;
  auto parsed = std::from_chars(text.data(), end, width);
  if (parsed.ec == std::errc() && parsed.ptr == end) {
    height = width;
  } else if (parsed.ec == std::errc() && *parsed.ptr == 'x') {
    parsed = std::from_chars(parsed.ptr + 1, end, height);
  }
  if (parsed.ec != std::errc() || parsed.ptr != end || width < 1 || height < 1 ||
      width > kLargest || height > kLargest) {
    fail_usage("--patch-size ", text, ": auto, N or WxH of 1 to ", kLargest, " pixels is expected");
  }
  return {height, width};
}

}  // namespace last
