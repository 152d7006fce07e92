#include "extractor/images/decode.h"

#include <new>

#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>

#include "extractor/images/bad_image.h"
#include "extractor/images/image_header.h"
#include "extractor/images/jpeg.h"
#include "extractor/images/png.h"
#include "extractor/images/pnm.h"
#include "extractor/images/tiff_alpha.h"

namespace last {
namespace {

void silence_opencv() {
  static const bool done = [] {
    cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
    return true;
  }();
  static_cast<void>(done);
}

void swap_red_and_blue(cv::Mat& image) {
  for (int y = 0; y < image.rows; ++y) {
    uint8_t* pixel = image.ptr(y);
    for (int x = 0; x < image.cols; ++x, pixel += 3) std::swap(pixel[0], pixel[2]);
  }
}

cv::Mat decode_with_opencv(std::span<const uint8_t> bytes, ImageFormat format) {
  silence_opencv();
  const cv::Mat file(1, static_cast<int>(bytes.size()), CV_8UC1,
                     const_cast<uint8_t*>(bytes.data()));  // only read
  cv::Mat image;
  try {
    image = cv::imdecode(file, cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION);
  } catch (const cv::Exception& error) {
    if (error.code == cv::Error::StsNoMem) throw;  // no bad image: decode_image() says what it is
    throw BadImage(concat("broken or unsupported ", format_name(format), ": ", error.err));
  }
  if (image.empty() || image.type() != CV_8UC3) {
    throw BadImage(concat("broken, truncated or unsupported ", format_name(format)));
  }
  swap_red_and_blue(image);
  return image;
}

cv::Mat decode_known(std::span<const uint8_t> bytes, uint64_t max_pixels) {
  const ImageHeader header = read_image_header(bytes);
  switch (header.format) {
    case ImageFormat::kUnknown:
      throw BadImage("not an image of a known format (JPEG, PNG, WebP, BMP, TIFF, PNM)");
    case ImageFormat::kGif:
      throw BadImage("GIF isn't supported; convert it to PNG");
    case ImageFormat::kJpeg:
      return decode_jpeg(bytes, max_pixels);
    case ImageFormat::kPng:
      return decode_png(bytes, max_pixels);
    case ImageFormat::kPnm:
      check_pixel_count(header.width, header.height, max_pixels);
      return decode_pnm(bytes);
    case ImageFormat::kTiff: {
      check_pixel_count(header.width, header.height, max_pixels);
      const std::vector<uint8_t> changed = with_associated_alpha(bytes);
      return decode_with_opencv(changed.empty() ? bytes : changed, header.format);
    }
    default:
      check_pixel_count(header.width, header.height, max_pixels);
      if (header.truncated) throw BadImage("the file is truncated");
      if (header.missing_padding > 0) {
        std::vector<uint8_t> padded(bytes.begin(), bytes.end());
        padded.resize(padded.size() + header.missing_padding);
        return decode_with_opencv(padded, header.format);
      }
      return decode_with_opencv(bytes, header.format);
  }
}

}  // namespace

cv::Mat decode_image(std::span<const uint8_t> bytes, uint64_t max_pixels) {
  try {
    return decode_known(bytes, max_pixels);
  } catch (const cv::Exception& error) {
    if (error.code == cv::Error::StsNoMem) throw std::bad_alloc();
    throw;
  }
}

void check_pixel_count(uint64_t width, uint64_t height, uint64_t max_pixels) {
  if (width == 0 || height == 0) throw BadImage("its header gives no size");
  if (width > max_pixels || height > max_pixels / width) {
    throw BadImage(concat(width, "x", height, " pixels, more than --max-pixels ", max_pixels));
  }
}

}  // namespace last
