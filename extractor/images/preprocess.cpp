#include "extractor/images/preprocess.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "common/error.h"
#include "common/io/json_integer.h"
#include "extractor/images/bad_image.h"

namespace last {
namespace {

constexpr int kMaxSide = 16384;

int parse_side(std::string_view text, const char* option, const std::string& whole) {
  int value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || value < 1 || value > kMaxSide) {
    fail_usage(option, " ", whole, ": sides are whole numbers from 1 to ", kMaxSide);
  }
  return value;
}

}  // namespace

void parse_resize(const std::string& text, Preprocessing* preprocessing) {
  const size_t cross = text.find('x');
  const std::string_view all = text;
  preprocessing->width = parse_side(all.substr(0, cross), "--resize", text);
  preprocessing->height = cross == std::string::npos
                              ? preprocessing->width
                              : parse_side(all.substr(cross + 1), "--resize", text);
}

void parse_crop(const std::string& text, Preprocessing* preprocessing) {
  constexpr std::string_view kCenter = "center:";
  if (text == "none") {
    preprocessing->crop = 0;
  } else if (text.rfind(kCenter, 0) == 0) {
    preprocessing->crop = parse_side(std::string_view(text).substr(kCenter.size()), "--crop", text);
  } else {
    fail_usage("--crop ", text, ": none or center:SIZE is expected, e.g. center:256");
  }
}

void Preprocessing::validate() const {
  if (crop != 0 && crop < std::max(width, height)) {
    fail_usage("--crop center:", crop, " resizes the shorter side to ", crop,
               ", smaller than --resize ", width, "x", height,
               " which is cut from it; give a larger crop size or --crop none");
  }
}

nlohmann::json Preprocessing::to_json() const {
  return {{"resize", {width, height}},
          {"crop", crop == 0 ? std::string("none") : concat("center:", crop)},
          {"interpolation", interpolation_name(interpolation)},
          {"mean", mean},
          {"std", std}};
}

Preprocessing preprocessing_from_json(const nlohmann::json& json) {
  Preprocessing preprocessing;
  try {
    const auto size = json_integers(json.at("resize"));
    if (size.size() != 2) fail("not a description of preprocessing: resize is not [width, height]");
    parse_resize(concat(size[0], "x", size[1]), &preprocessing);
    parse_crop(json.at("crop").get<std::string>(), &preprocessing);
    preprocessing.interpolation = parse_interpolation(json.at("interpolation").get<std::string>());
    preprocessing.mean = json.at("mean").get<std::array<float, 3>>();
    preprocessing.std = json.at("std").get<std::array<float, 3>>();
    preprocessing.validate();
  } catch (const nlohmann::json::exception& error) {
    fail("not a description of preprocessing: ", error.what());
  } catch (const UsageError& error) {
    fail("not a description of preprocessing: ", error.what());
  }
  for (const float value : preprocessing.std) {
    if (!(value > 0.0F)) fail("not a description of preprocessing: a std of ", value);
  }
  return preprocessing;
}

int64_t round_half_even(double value) {
  const double below = std::floor(value);
  const double rest = value - below;
  const auto lower = static_cast<int64_t>(below);
  if (rest < 0.5) return lower;
  if (rest > 0.5) return lower + 1;
  return lower % 2 == 0 ? lower : lower + 1;
}

cv::Mat resize_and_crop(const cv::Mat& image, const Preprocessing& preprocessing) {
  const int width = preprocessing.width;
  const int height = preprocessing.height;
  if (preprocessing.crop == 0) {
    return resize_image(image, width, height, preprocessing.interpolation);
  }
  const int64_t crop = preprocessing.crop;
  const int64_t short_side = std::min(image.cols, image.rows);
  const int64_t long_side = std::max(image.cols, image.rows);
  // Python divides two integers into a double and truncates it.
  const auto new_long =
      static_cast<int64_t>(static_cast<double>(crop * long_side) / static_cast<double>(short_side));
  if (new_long > INT32_MAX / 2) {
    throw BadImage(concat(image.cols, "x", image.rows, " pixels are too narrow for a centre crop"));
  }
  const bool upright = image.cols <= image.rows;
  const int resized_width = static_cast<int>(upright ? crop : new_long);
  const int resized_height = static_cast<int>(upright ? new_long : crop);
  const auto left = static_cast<int>(round_half_even((resized_width - width) / 2.0));
  const auto top = static_cast<int>(round_half_even((resized_height - height) / 2.0));
  return resize_region(image, resized_width, resized_height, cv::Rect(left, top, width, height),
                       preprocessing.interpolation);
}

void normalise(const cv::Mat& image, const Preprocessing& preprocessing, float* out) {
  const size_t plane = static_cast<size_t>(image.rows) * image.cols;
  for (int c = 0; c < 3; ++c) {
    std::array<float, 256> table;
    for (int value = 0; value < 256; ++value) {
      const float scaled = static_cast<float>(value) / 255.0F;
      table[value] = (scaled - preprocessing.mean[c]) / preprocessing.std[c];
    }
    float* target = out + c * plane;
    for (int y = 0; y < image.rows; ++y) {
      const uint8_t* pixel = image.ptr(y) + c;
      for (int x = 0; x < image.cols; ++x, pixel += 3) *target++ = table[*pixel];
    }
  }
}

}  // namespace last
