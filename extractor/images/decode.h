#pragma once

#include <cstdint>
#include <span>

#include <opencv2/core.hpp>

namespace last {

// PIL refuses images of more pixels than this as decompression bombs.
constexpr uint64_t kDefaultMaxPixels = 178'956'970;

// Decodes an image file as PIL's convert("RGB") does: EXIF orientation ignored, alpha dropped,
// palettes resolved, CMYK converted, 16 bits scaled to 8. BadImage says why an image can't be used,
// truncated data included; images of more than `max_pixels` are refused before their pixels are
// allocated.
//
// Returns RGB, [height, width] of CV_8UC3. Thread-safe. Prints nothing but what OpenCV says of a
// damaged BMP, TIFF or WebP.
cv::Mat decode_image(std::span<const uint8_t> bytes, uint64_t max_pixels = kDefaultMaxPixels);

// BadImage where width * height is 0 or above `max_pixels`.
void check_pixel_count(uint64_t width, uint64_t height, uint64_t max_pixels);

}  // namespace last
