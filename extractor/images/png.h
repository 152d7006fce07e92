#pragma once

#include <cstdint>
#include <span>

#include <opencv2/core.hpp>

namespace last {

// Decodes a PNG as PIL's Image.open(..).convert("RGB") does: alpha dropped, 16 bits cut to their
// upper 8. BadImage where PIL raises: data that end before the last row or can't be inflated, wrong
// checksums in front of the pixels (that of pixel data isn't looked at, zlib has its own), no
// palette. OpenCV isn't used for PNG because libpng, left to itself, writes to standard error.
// Images of more than `max_pixels` are refused before their pixels are allocated.
//
// Returns RGB, [height, width] of CV_8UC3.
cv::Mat decode_png(std::span<const uint8_t> bytes, uint64_t max_pixels);

}  // namespace last
