#pragma once

#include <cstddef>
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
  // The file is shorter than its header promises (known for BMP).
  bool truncated = false;
  // Bytes of padding that lack behind the last row of a BMP; PIL doesn't mind.
  size_t missing_padding = 0;
};

// An unsigned number of `size` bytes, 0 where the file ends before it.
uint64_t little_endian_at(std::span<const uint8_t> bytes, uint64_t offset, size_t size);
uint64_t big_endian_at(std::span<const uint8_t> bytes, uint64_t offset, size_t size);

// Never fails: what isn't understood is kUnknown, or a size of 0. The sizes of JPEG and
// PNG are left to their libraries, which read headers apart from pixels anyway.
ImageHeader read_image_header(std::span<const uint8_t> bytes);

}  // namespace last
