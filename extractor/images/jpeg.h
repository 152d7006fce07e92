#pragma once

#include <cstdint>
#include <span>

#include <opencv2/core.hpp>

namespace last {

// Decodes a JPEG as PIL's Image.open(..).convert("RGB") does: same pixels, and BadImage exactly
// where PIL's load() raises, i.e. where the data end before the last row (libjpeg itself fills the
// rest with grey and only warns) or can't be a JPEG. Warnings such as extraneous bytes are no
// error. Images of more than `max_pixels` are refused before their pixels are allocated.
//
// Returns RGB, [height, width] of CV_8UC3.
cv::Mat decode_jpeg(std::span<const uint8_t> bytes, uint64_t max_pixels);

}  // namespace last
