#pragma once

#include <cstdint>
#include <string>

#include <opencv2/core.hpp>

#include "extractor/images/preprocess.h"

namespace last {

enum class Augmentation { kNone, kFlip, kRandomResizedCropFlip };

// "none" | "flip" | "rrc-flip"; anything else is a UsageError.
Augmentation parse_augmentation(const std::string& name);
const char* augmentation_name(Augmentation augmentation);

// The views of an image: view 0 is the plain one, the others are drawn from (seed, sample id, view)
// alone, so that they depend neither on the order of images nor on threads.
struct Views {
  int count = 1;  // --views
  Augmentation augmentation = Augmentation::kNone;
  uint64_t seed = 0;

  // More than one view without augmentation is a UsageError, and so is the reverse.
  void validate() const;
  nlohmann::json to_json() const;
};

// One view of a decoded image: RGB of preprocessing.width x height.
//
// rrc-flip: torchvision's RandomResizedCrop (scale 0.08..1, ratio 3/4..4/3, ten tries, then the
// centre) and a horizontal flip with probability 1/2; flip: resize and crop as usual, then the
// flip.
cv::Mat make_view(const cv::Mat& image, const Preprocessing& preprocessing, const Views& views,
                  const std::string& sample_id, int view);

}  // namespace last
