#pragma once

#include <array>
#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>
#include <opencv2/core.hpp>

#include "extractor/images/resize.h"

namespace last {

// What happens between decoded pixels and the network. All of it changes the features.
struct Preprocessing {
  int width = 224;  // --resize
  int height = 224;
  int crop =
      0;  // --crop center:S: shorter side to S, then the centre; 0: straight to width x height
  Interpolation interpolation = Interpolation::kBicubic;
  std::array<float, 3> mean = {0.5F, 0.5F, 0.5F};
  std::array<float, 3> std = {0.5F, 0.5F, 0.5F};

  // A centre crop larger than the resized picture is a UsageError.
  void validate() const;
  nlohmann::json to_json() const;
};

// The inverse of to_json(). Anything else is an Error.
Preprocessing preprocessing_from_json(const nlohmann::json& json);

// "224" | "320x224" (width x height) into width and height, "none" | "center:256" into crop.
// Anything else is a UsageError.
void parse_resize(const std::string& text, Preprocessing* preprocessing);
void parse_crop(const std::string& text, Preprocessing* preprocessing);

// Resize and crop as torchvision's Resize and CenterCrop do on PIL images: the longer side is
// truncated, offsets round half to even. RGB in, RGB of width x height out.
cv::Mat resize_and_crop(const cv::Mat& image, const Preprocessing& preprocessing);

// (x / 255 - mean) / std in fp32, in torchvision's order (ToTensor, Normalize); `out` is
// [3, height, width].
void normalise(const cv::Mat& image, const Preprocessing& preprocessing, float* out);

// Python's round(): half to even.
int64_t round_half_even(double value);

}  // namespace last
