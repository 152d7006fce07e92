#include "extractor/pipeline/thumbnail.h"

#include <algorithm>

#include "extractor/images/resize.h"

namespace last {

void make_thumbnail(const cv::Mat& image, int size, uint8_t* out) {
  const cv::Mat small = resize_image(image, size, size, Interpolation::kBicubic);
  for (int y = 0; y < size; ++y, out += size * 3) std::copy_n(small.ptr(y), size * 3, out);
}

}  // namespace last
