#pragma once

#include <cstdint>

#include <opencv2/core.hpp>

namespace last {

// The whole image squeezed to size x size pixels, as Pillow's bicubic resize does it, into `out`
// [size, size, 3].
void make_thumbnail(const cv::Mat& image, int size, uint8_t* out);

}  // namespace last
