// Shows scripts what the image library makes of files: reads paths from standard input, one per
// line, and writes to standard output per path an int32 width, an int32 height and RGB bytes, or an
// int32 -1, an int32 length and the reason why the image is bad.
//
//   preprocess_tool decode
//   preprocess_tool pixels RESIZE CROP INTERPOLATION
//   preprocess_tool each    a line is RESIZE CROP INTERPOLATION PATH, parted by spaces
//   preprocess_tool floats RESIZE CROP INTERPOLATION      float32 CHW, mean and std of ImageNet
//   preprocess_tool view   RESIZE INTERPOLATION AUGMENT SEED VIEW
//   preprocess_tool time   RESIZE CROP INTERPOLATION      prints images per second

#include <chrono>
#include <cstdint>
#include <iostream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "extractor/images/bad_image.h"
#include "extractor/images/decode.h"
#include "extractor/images/image_file.h"
#include "extractor/images/preprocess.h"
#include "extractor/images/views.h"

namespace {

void write_number(int32_t value) {
  std::cout.write(reinterpret_cast<const char*>(&value), sizeof(value));
}

void write_pixels(const cv::Mat& image) {
  write_number(image.cols);
  write_number(image.rows);
  for (int y = 0; y < image.rows; ++y) {
    std::cout.write(reinterpret_cast<const char*>(image.ptr(y)), 3 * image.cols);
  }
}

void write_floats(const cv::Mat& image, const last::Preprocessing& preprocessing) {
  std::vector<float> values(3 * image.total());
  last::normalise(image, preprocessing, values.data());
  write_number(image.cols);
  write_number(image.rows);
  std::cout.write(reinterpret_cast<const char*>(values.data()),
                  static_cast<std::streamsize>(values.size() * sizeof(float)));
}

void set_size(const std::string& resize, const std::string& crop, const std::string& interpolation,
              last::Preprocessing* preprocessing) {
  last::parse_resize(resize, preprocessing);
  last::parse_crop(crop, preprocessing);
  preprocessing->interpolation = last::parse_interpolation(interpolation);
  preprocessing->validate();
}

void run(const std::vector<std::string>& arguments) {
  const std::string& mode = arguments.at(0);
  last::Preprocessing preprocessing;
  preprocessing.mean = {0.485F, 0.456F, 0.406F};
  preprocessing.std = {0.229F, 0.224F, 0.225F};
  last::Views views;
  if (mode == "view") {
    last::parse_resize(arguments.at(1), &preprocessing);
    preprocessing.interpolation = last::parse_interpolation(arguments.at(2));
    views.augmentation = last::parse_augmentation(arguments.at(3));
    views.seed = std::stoull(arguments.at(4));
    views.count = std::stoi(arguments.at(5)) + 1;
  } else if (mode != "decode" && mode != "each") {
    set_size(arguments.at(1), arguments.at(2), arguments.at(3), &preprocessing);
  }
  const auto start = std::chrono::steady_clock::now();
  int64_t count = 0;
  for (std::string path; std::getline(std::cin, path); ++count) {
    if (mode == "each") {
      std::istringstream words(std::exchange(path, {}));
      std::string resize, crop, interpolation;
      words >> resize >> crop >> interpolation >> std::ws;
      std::getline(words, path);
      set_size(resize, crop, interpolation, &preprocessing);
    }
    try {
      const cv::Mat image = last::decode_image(last::read_image_file(path));
      if (mode == "decode") {
        write_pixels(image);
      } else if (mode == "pixels" || mode == "each") {
        write_pixels(last::resize_and_crop(image, preprocessing));
      } else if (mode == "view") {
        write_pixels(last::make_view(image, preprocessing, views, path, views.count - 1));
      } else if (mode == "floats") {
        write_floats(last::resize_and_crop(image, preprocessing), preprocessing);
      } else {
        std::vector<float> values(3 * preprocessing.width * preprocessing.height);
        last::normalise(last::resize_and_crop(image, preprocessing), preprocessing, values.data());
      }
    } catch (const last::BadImage& error) {
      const std::string reason = error.what();
      write_number(-1);
      write_number(static_cast<int32_t>(reason.size()));
      std::cout << reason;
    }
  }
  if (mode == "time") {
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::cout << static_cast<double>(count) / seconds.count() << " images/s\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "preprocess_tool: error: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
