#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace last {

// One line of predictions.TARGET.csv, with class indices in place of names.
struct Prediction {
  std::string path;
  int64_t label = -1;  // -1 = unlabelled
  int64_t prediction = 0;
  double probability = 0;
  double label_probability = 0;  // NaN: unlabelled
};

// What one network or ensemble says of a data set.
struct PredictionSet {
  std::optional<int64_t> network;  // nothing: the ensemble
  std::string data;                // "test" or "val"
  std::vector<Prediction> predictions;
};

// predictions.TARGET.csv or ensemble_predictions.TARGET.csv by network, in order of appearance.
//   class_names: [classes], or empty: the file holds indices below `classes`
std::vector<PredictionSet> read_predictions(const std::string& path,
                                            const std::vector<std::string>& class_names,
                                            int64_t classes);

// [label, prediction, images] of every pair that occurs, ordered.
std::vector<std::array<int64_t, 3>> confusion_of(const PredictionSet& set);

// The wrongly classified images whose label got the lowest probability, at most `count`.
std::vector<Prediction> worst_of(const PredictionSet& set, size_t count);

}  // namespace last
