#include "extractor/images/resize.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "common/error.h"

// The baseline of x86-64 has no 32-bit vector product; the loader picks the AVX2 copy where it can.
// Sanitizers don't support the mechanism.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !defined(__clang__)
#define LAST_VECTOR_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define LAST_VECTOR_CLONES
#endif

namespace last {
namespace {

constexpr int kFractionBits = 22;
constexpr int32_t kHalf = 1 << (kFractionBits - 1);

// One pixel with its channels as int32; the fourth lane is unused.
using Pixel = int32_t __attribute__((vector_size(16)));

// out[i] = sum over t < taps of weights[i][t] * in[start[i] + t]
struct Kernel {
  int taps = 0;                  // room per output; unused ones have weight 0
  std::vector<int> start;        // [outputs]
  std::vector<int> count;        // [outputs], taps used
  std::vector<int32_t> weights;  // [outputs, taps], 22 bits of fraction
};

double filter_support(Interpolation interpolation) {
  return interpolation == Interpolation::kBicubic ? 2.0 : 1.0;
}

// Keys' cubic with a = -0.5, or the triangle.
double filter_value(Interpolation interpolation, double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (interpolation == Interpolation::kBilinear) return x < 1.0 ? 1.0 - x : 0.0;
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

// Weights of outputs first .. first + outputs.size - 1 of an axis resized from `inputs` to `size`.
// The filter is stretched by the scale when shrinking (antialias) and cut at the borders; weights
// are normalised in double, then rounded half away from zero.
Kernel make_kernel(int inputs, int size, cv::Range outputs, Interpolation interpolation) {
  const double scale = static_cast<double>(inputs) / size;
  const double stretch = std::max(scale, 1.0);
  const double support = filter_support(interpolation) * stretch;
  const double inverse = 1.0 / stretch;
  Kernel kernel;
  kernel.taps = static_cast<int>(std::ceil(support)) * 2 + 1;
  kernel.weights.reserve(static_cast<size_t>(outputs.size()) * kernel.taps);
  std::vector<double> values(kernel.taps);
  for (int i = outputs.start; i < outputs.end; ++i) {
    const double center = (i + 0.5) * scale;
    // Rounded as PIL does.  NOLINTNEXTLINE(bugprone-incorrect-roundings)
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    // NOLINTNEXTLINE(bugprone-incorrect-roundings)
    const int last = std::min(static_cast<int>(center + support + 0.5), inputs);
    double sum = 0.0;
    for (int t = 0; t < last - first; ++t) {
      values[t] = filter_value(interpolation, (t + first - center + 0.5) * inverse);
      sum += values[t];
    }
    for (int t = 0; t < last - first; ++t) {
      const double value = (sum != 0.0 ? values[t] / sum : values[t]) * (1 << kFractionBits);
      kernel.weights.push_back(static_cast<int32_t>(value < 0 ? value - 0.5 : value + 0.5));
    }
    kernel.weights.resize(kernel.weights.size() + kernel.taps - (last - first));
    kernel.start.push_back(first);
    kernel.count.push_back(last - first);
  }
  return kernel;
}

// The inputs that a kernel touches.
cv::Range used_inputs(const Kernel& kernel) {
  return {kernel.start.front(), kernel.start.back() + kernel.count.back()};
}

// The same kernel on inputs that begin `offset` later.
Kernel shifted(Kernel kernel, int offset) {
  for (int& start : kernel.start) start -= offset;
  return kernel;
}

inline uint8_t clip(int32_t value) {
  return static_cast<uint8_t>(std::clamp(value >> kFractionBits, 0, 255));
}

void widen_row(const uint8_t* in, int pixels, Pixel* out) {
  for (int x = 0; x < pixels; ++x, in += 3) out[x] = Pixel{in[0], in[1], in[2], 0};
}

// Two rows at once hide the latency of the vector product.
LAST_VECTOR_CLONES void horizontal_rows(const Pixel* in0, const Pixel* in1, int outputs,
                                        const int* start, const int* count, int taps,
                                        const int32_t* weights, uint8_t* out0, uint8_t* out1) {
  for (int i = 0; i < outputs; ++i, weights += taps) {
    Pixel sum0 = {kHalf, kHalf, kHalf, 0};
    Pixel sum1 = sum0;
    const Pixel* p0 = in0 + start[i];
    const Pixel* p1 = in1 + start[i];
    for (int t = 0; t < count[i]; ++t) {
      sum0 += p0[t] * weights[t];
      sum1 += p1[t] * weights[t];
    }
    for (int c = 0; c < 3; ++c) {
      out0[3 * i + c] = clip(sum0[c]);
      out1[3 * i + c] = clip(sum1[c]);
    }
  }
}

cv::Mat apply_to_columns(const cv::Mat& image, const Kernel& kernel) {
  const auto width = static_cast<int>(kernel.start.size());
  cv::Mat result(image.rows, width, CV_8UC3);
  std::vector<Pixel> rows(2 * static_cast<size_t>(image.cols));
  Pixel* row0 = rows.data();
  Pixel* row1 = row0 + image.cols;
  for (int y = 0; y < image.rows; y += 2) {
    const int next = std::min(y + 1, image.rows - 1);
    widen_row(image.ptr(y), image.cols, row0);
    widen_row(image.ptr(next), image.cols, row1);
    horizontal_rows(row0, row1, width, kernel.start.data(), kernel.count.data(), kernel.taps,
                    kernel.weights.data(), result.ptr(y), result.ptr(next));
  }
  return result;
}

LAST_VECTOR_CLONES void add_weighted_row(const uint8_t* in, int32_t weight, int size,
                                         int32_t* sums) {
  for (int x = 0; x < size; ++x) sums[x] += in[x] * weight;
}

LAST_VECTOR_CLONES void clip_row(const int32_t* sums, int size, uint8_t* out) {
  for (int x = 0; x < size; ++x) out[x] = clip(sums[x]);
}

cv::Mat apply_to_rows(const cv::Mat& image, const Kernel& kernel) {
  const auto height = static_cast<int>(kernel.start.size());
  cv::Mat result(height, image.cols, CV_8UC3);
  const int size = 3 * image.cols;
  std::vector<int32_t> sums(size);
  for (int y = 0; y < height; ++y) {
    std::fill(sums.begin(), sums.end(), kHalf);
    const int32_t* weights = kernel.weights.data() + static_cast<size_t>(y) * kernel.taps;
    for (int t = 0; t < kernel.count[y]; ++t) {
      add_weighted_row(image.ptr(kernel.start[y] + t), weights[t], size, sums.data());
    }
    clip_row(sums.data(), size, result.ptr(y));
  }
  return result;
}

}  // namespace

Interpolation parse_interpolation(const std::string& name) {
  if (name == "bicubic") return Interpolation::kBicubic;
  if (name == "bilinear") return Interpolation::kBilinear;
  fail_usage("--interpolation ", name, ": bicubic or bilinear is expected");
}

const char* interpolation_name(Interpolation interpolation) {
  return interpolation == Interpolation::kBicubic ? "bicubic" : "bilinear";
}

cv::Mat resize_image(const cv::Mat& image, int width, int height, Interpolation interpolation) {
  return resize_region(image, width, height, cv::Rect(0, 0, width, height), interpolation);
}

// Which pass comes first changes the result, because of the clipping in between. Pillow 13 shrinks
// the height first where that takes away more than twice what shrinking the width does (found by
// experiment; tests/interop/test_preprocessing.py holds it fast).
cv::Mat resize_region(const cv::Mat& image, int width, int height, const cv::Rect& region,
                      Interpolation interpolation) {
  const cv::Range columns(region.x, region.x + region.width);
  const cv::Range rows(region.y, region.y + region.height);
  const bool change_width = image.cols != width;
  const bool change_height = image.rows != height;
  const Kernel across = make_kernel(image.cols, width, columns, interpolation);
  const Kernel down = make_kernel(image.rows, height, rows, interpolation);
  if (!change_width && !change_height) return image(rows, columns).clone();
  if (!change_height) return apply_to_columns(image.rowRange(rows), across);
  if (!change_width) return apply_to_rows(image.colRange(columns), down);
  const int64_t fewer_rows = static_cast<int64_t>(image.rows) - height;
  const int64_t fewer_columns = static_cast<int64_t>(image.cols) - width;
  if (fewer_rows > 0 && fewer_rows > 2 * fewer_columns) {
    const cv::Range used = used_inputs(across);
    return apply_to_columns(apply_to_rows(image.colRange(used), down), shifted(across, used.start));
  }
  const cv::Range used = used_inputs(down);
  return apply_to_rows(apply_to_columns(image.rowRange(used), across), shifted(down, used.start));
}

}  // namespace last
