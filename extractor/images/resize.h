#pragma once

#include <string>

#include <opencv2/core.hpp>

namespace last {

enum class Interpolation { kBilinear, kBicubic };

// "bicubic" | "bilinear"; anything else is a UsageError.
Interpolation parse_interpolation(const std::string& name);
const char* interpolation_name(Interpolation interpolation);

// Resizes an 8-bit RGB image to width x height with antialiasing; the result equals that of Pillow
// 13's Image.resize bit for bit: two one-dimensional passes in fixed point with 22 bits of
// fraction, clipped to bytes in between.
cv::Mat resize_image(const cv::Mat& image, int width, int height, Interpolation interpolation);

// The pixels in `region` of that result, without computing the others.
cv::Mat resize_region(const cv::Mat& image, int width, int height, const cv::Rect& region,
                      Interpolation interpolation);

}  // namespace last
