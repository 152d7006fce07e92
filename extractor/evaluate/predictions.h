#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "extractor/evaluate/networks.h"
#include "extractor/evaluate/tally.h"
#include "extractor/evaluate/target_labels.h"

namespace last {

// Turns one network's probabilities into lines of predictions.csv and counts them.
class Predictions {
 public:
  Predictions(const NamedBundle& network, std::shared_ptr<const TargetLabels> labels,
              int64_t top_k);

  // "path,label,network,target,class_1,probability_1,..", all top_k of them.
  static std::string header(int64_t top_k);

  // The line of one image. `id` is a CSV field already; probabilities [classes], an Error where
  // they are NaN. Classes of equal probability come in their order.
  std::string add(int64_t image, const std::string& id, const float* probabilities);

  // "NETWORK,TARGET,IMAGES,ACCURACY,MEAN_CLASS_ACCURACY\n"
  std::string summary() const;
  // A line "NETWORK,TARGET,LABEL,PREDICTION,COUNT\n" per pair that occurred.
  std::string confusion() const;

 private:
  std::string names_;                           // "NETWORK,TARGET"
  std::shared_ptr<const TargetLabels> labels_;  // networks of one target share them
  size_t outputs_;                              // the network's classes
  size_t top_k_;
  int64_t images_ = 0;
  Tally tally_;
  std::vector<int32_t> order_;
};

}  // namespace last
