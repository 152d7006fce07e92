#include "extractor/evaluate/predictions.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "common/error.h"
#include "common/io/csv.h"
#include "extractor/evaluate/csv_output.h"

namespace last {

Predictions::Predictions(const NamedBundle& network, std::shared_ptr<const TargetLabels> labels,
                         int64_t top_k)
    : names_(csv_field(network.name) + "," + csv_field(network.target())),
      labels_(std::move(labels)),
      outputs_(static_cast<size_t>(network.classes())),
      top_k_(static_cast<size_t>(top_k)),
      order_(outputs_) {}

std::string Predictions::header(int64_t top_k) {
  std::string text = "path,label,network,target";
  for (int64_t i = 1; i <= top_k; ++i) text += concat(",class_", i, ",probability_", i);
  return text + "\n";
}

std::string Predictions::add(int64_t image, const std::string& id, const float* probabilities) {
  if (std::isnan(probabilities[0])) {
    fail("network ", names_, " gives no finite number for the image ", id,
         ": the features overflow, or its parameters are not finite");
  }
  const size_t shown = std::min(top_k_, outputs_);
  std::iota(order_.begin(), order_.end(), 0);
  std::partial_sort(
      order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(shown), order_.end(),
      [&](int32_t a, int32_t b) {
        return probabilities[a] != probabilities[b] ? probabilities[a] > probabilities[b] : a < b;
      });
  const int32_t label = labels_->labels[static_cast<size_t>(image)];
  ++images_;
  if (label != kUnlabelled) tally_.add(label, order_[0]);
  std::string line = id + ",";
  if (label != kUnlabelled) line += csv_field(labels_->text(label));
  line += "," + names_;
  for (size_t i = 0; i < top_k_; ++i) {
    line += ",";
    if (i < shown) line += csv_field(labels_->text(order_[i]));
    line += ",";
    if (i < shown) line += number_text(probabilities[order_[i]]);
  }
  return line + "\n";
}

std::string Predictions::summary() const {
  return concat(names_, ",", images_, ",", number_text(tally_.accuracy()), ",",
                number_text(tally_.mean_class_accuracy()), "\n");
}

std::string Predictions::confusion() const {
  std::string text;
  for (const auto& [pair, count] : tally_.counts()) {
    text += concat(names_, ",", csv_field(labels_->text(pair.first)), ",",
                   csv_field(labels_->text(pair.second)), ",", count, "\n");
  }
  return text;
}

}  // namespace last
