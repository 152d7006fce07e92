#pragma once

#include <cstdint>
#include <span>

namespace last {

enum class ImageFormat { kJpeg, kPng, kBmp, kWebp, kTiff, kPnm, kGif, kUnknown };

const char* format_name(ImageFormat format);

// What the first bytes of an image file say. Sizes in pixels; 0 where the header doesn't tell.
struct ImageHeader {
  ImageFormat format = ImageFormat::kUnknown;
  uint64_t width = 0;
  uint64_t height = 0;
};

// Never fails: what isn't understood is kUnknown, or a size of 0. The size of a JPEG is left to
// libjpeg, which reads headers apart from pixels anyway.
ImageHeader read_image_header(std::span<const uint8_t> bytes);

}  // namespace last
