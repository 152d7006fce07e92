#include "extractor/evaluate/tally.h"

namespace last {
namespace {

// NaN for 0 of 0.
double percent(int64_t part, int64_t whole) {
  return 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

int64_t Tally::labelled() const {
  int64_t images = 0;
  for (const auto& [pair, count] : counts_) images += count;
  return images;
}

double Tally::accuracy() const {
  int64_t correct = 0;
  for (const auto& [pair, count] : counts_) correct += pair.first == pair.second ? count : 0;
  return percent(correct, labelled());
}

double Tally::mean_class_accuracy() const {
  std::map<int32_t, std::pair<int64_t, int64_t>> classes;  // label -> correct, all
  for (const auto& [pair, count] : counts_) {
    auto& [correct, all] = classes[pair.first];
    correct += pair.first == pair.second ? count : 0;
    all += count;
  }
  double sum = 0.0;
  for (const auto& [label, share] : classes) sum += percent(share.first, share.second);
  return sum / static_cast<double>(classes.size());
}

}  // namespace last
