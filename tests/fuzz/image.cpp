// Input: an image file. Our own code reads the headers of all formats, decodes PNM, and drives
// libjpeg and libpng; the others' pixels are decoded by OpenCV, which is not what is tested here.

#include <cstdlib>

#include "extractor/images/decode.h"
#include "extractor/images/image_header.h"
#include "extractor/images/tiff_alpha.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace last;
  constexpr uint64_t kMaxPixels = 1 << 18;
  const std::span<const uint8_t> bytes(data, size);
  const ImageHeader header = read_image_header(bytes);
  if (header.format == ImageFormat::kTiff) {
    const auto changed = with_associated_alpha(bytes);
    if (!changed.empty() && changed.size() != size) __builtin_trap();
  }
  if (header.format != ImageFormat::kJpeg && header.format != ImageFormat::kPng &&
      header.format != ImageFormat::kPnm) {
    return 0;
  }
  fuzz::expect_result_or_error([&] {
    const cv::Mat image = decode_image(bytes, kMaxPixels);
    if (image.total() == 0 || image.total() > kMaxPixels) __builtin_trap();
  });
  return 0;
}
