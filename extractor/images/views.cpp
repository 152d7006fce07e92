#include "extractor/images/views.h"

#include <cmath>
#include <cstring>

#include "common/error.h"
#include "common/io/checksum.h"

namespace last {
namespace {

constexpr double kMinScale = 0.08;
constexpr double kMaxScale = 1.0;
constexpr double kMinRatio = 3.0 / 4.0;
constexpr double kMaxRatio = 4.0 / 3.0;

// SplitMix64 (Steele, Lea, Flood 2014): number i is a mix of key + i * odd constant.
class CounterGenerator {
 public:
  explicit CounterGenerator(uint64_t key) : state_(key) {}

  uint64_t next() {
    state_ += 0x9e3779b97f4a7c15U;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }
  // [low, high)
  double uniform(double low, double high) {
    return low + (high - low) * static_cast<double>(next() >> 11) * 0x1.0p-53;
  }
  // 0 .. count - 1
  int below(int count) { return static_cast<int>(uniform(0.0, count)); }

 private:
  uint64_t state_;
};

uint64_t key_of(uint64_t seed, const std::string& sample_id, int view) {
  const std::string text = concat(seed, ' ', view, ' ', sample_id);
  const Sha256Digest digest = sha256(text.data(), text.size());
  uint64_t key = 0;
  for (int i = 0; i < 8; ++i) key = key << 8 | digest[i];
  return key;
}

cv::Rect random_crop(const cv::Mat& image, CounterGenerator& random) {
  const double area = static_cast<double>(image.rows) * image.cols;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double target = area * random.uniform(kMinScale, kMaxScale);
    const double ratio = std::exp(random.uniform(std::log(kMinRatio), std::log(kMaxRatio)));
    const auto width = static_cast<int>(round_half_even(std::sqrt(target * ratio)));
    const auto height = static_cast<int>(round_half_even(std::sqrt(target / ratio)));
    if (width > 0 && width <= image.cols && height > 0 && height <= image.rows) {
      const int top = random.below(image.rows - height + 1);
      const int left = random.below(image.cols - width + 1);
      return {left, top, width, height};
    }
  }
  int width = image.cols;
  int height = image.rows;
  const double ratio = static_cast<double>(width) / height;
  // A side of one pixel would round to zero.
  if (ratio < kMinRatio) {
    height = std::max(1, static_cast<int>(round_half_even(width / kMinRatio)));
  } else if (ratio > kMaxRatio) {
    width = std::max(1, static_cast<int>(round_half_even(height * kMaxRatio)));
  }
  return {(image.cols - width) / 2, (image.rows - height) / 2, width, height};
}

cv::Mat flipped(const cv::Mat& image) {
  cv::Mat result;
  cv::flip(image, result, 1);
  return result;
}

}  // namespace

Augmentation parse_augmentation(const std::string& name) {
  if (name == "none") return Augmentation::kNone;
  if (name == "flip") return Augmentation::kFlip;
  if (name == "rrc-flip") return Augmentation::kRandomResizedCropFlip;
  fail_usage("--augment ", name, ": none, flip or rrc-flip is expected");
}

const char* augmentation_name(Augmentation augmentation) {
  switch (augmentation) {
    case Augmentation::kNone:
      return "none";
    case Augmentation::kFlip:
      return "flip";
    case Augmentation::kRandomResizedCropFlip:
      return "rrc-flip";
  }
  return "";
}

void Views::validate() const {
  if (count < 1) fail_usage("--views ", count, ": at least 1 is expected");
  if (count > 1 && augmentation == Augmentation::kNone) {
    fail_usage("--views ", count, " would store the same features ", count,
               " times; add --augment flip or --augment rrc-flip");
  }
  if (count == 1 && augmentation != Augmentation::kNone) {
    fail_usage("--augment ", augmentation_name(augmentation),
               " changes nothing with one view (view 0 is the plain image); add --views N");
  }
}

nlohmann::json Views::to_json() const {
  return {{"count", count}, {"augment", augmentation_name(augmentation)}, {"seed", seed}};
}

cv::Mat make_view(const cv::Mat& image, const Preprocessing& preprocessing, const Views& views,
                  const std::string& sample_id, int view) {
  if (view == 0 || views.augmentation == Augmentation::kNone) {
    return resize_and_crop(image, preprocessing);
  }
  CounterGenerator random(key_of(views.seed, sample_id, view));
  cv::Mat result;
  if (views.augmentation == Augmentation::kRandomResizedCropFlip) {
    const cv::Rect box = random_crop(image, random);
    result = resize_image(image(box), preprocessing.width, preprocessing.height,
                          preprocessing.interpolation);
  } else {
    result = resize_and_crop(image, preprocessing);
  }
  return random.uniform(0.0, 1.0) < 0.5 ? flipped(result) : result;
}

}  // namespace last
