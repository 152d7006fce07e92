#pragma once

#include <cstdint>
#include <map>
#include <utility>

namespace last {

// What one network predicted for labelled images.
class Tally {
 public:
  void add(int32_t label, int32_t prediction) { ++counts_[{label, prediction}]; }

  int64_t labelled() const;
  double accuracy() const;             // percent; NaN without labelled images
  double mean_class_accuracy() const;  // over classes that have labelled images; likewise

  // Pairs (label, prediction) that occurred, ascending.
  const std::map<std::pair<int32_t, int32_t>, int64_t>& counts() const { return counts_; }

 private:
  std::map<std::pair<int32_t, int32_t>, int64_t> counts_;
};

}  // namespace last
