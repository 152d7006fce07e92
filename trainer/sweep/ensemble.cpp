#include "trainer/sweep/ensemble.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace last {
namespace {

struct Score {
  int64_t correct = -1;
  double loss = std::numeric_limits<double>::infinity();  // sum of cross-entropies

  bool operator>(const Score& other) const {
    return correct != other.correct ? correct > other.correct : loss < other.loss;
  }
};

// Of the mean of `count` members: those summed up in `sums` [samples, classes] and one more.
Score score_with(const Predictions& p, int64_t network, const std::vector<double>& sums,
                 int64_t count) {
  Score score{0, 0};
  for (int64_t s = 0; s < p.samples(); ++s) {
    const float* own = p.of(network, s);
    const double* sum = sums.data() + s * p.classes;
    int64_t best = 0;
    double highest = -1;
    for (int64_t c = 0; c < p.classes; ++c) {
      const double value = sum[c] + own[c];
      if (value > highest) {
        highest = value;
        best = c;
      }
    }
    const int64_t label = p.labels[static_cast<size_t>(s)];
    score.correct += best == label ? 1 : 0;
    // A probability that fp32 rounds to 0 costs much, but not everything.
    const double mean = (sum[label] + own[label]) / static_cast<double>(count);
    score.loss -= std::log(std::max(mean, 1e-30));
  }
  return score;
}

}  // namespace

EnsembleChoice select_ensemble(const Predictions& predictions, int64_t size) {
  EnsembleChoice choice;
  if (predictions.networks == 0 || predictions.samples() == 0) return choice;
  std::vector<double> sums(static_cast<size_t>(predictions.samples() * predictions.classes), 0);
  for (int64_t count = 1; count <= size; ++count) {
    Score best;
    int64_t member = 0;
    for (int64_t k = 0; k < predictions.networks; ++k) {
      const Score score = score_with(predictions, k, sums, count);
      if (score > best) {
        best = score;
        member = k;
      }
    }
    choice.members.push_back(member);
    const float* added = predictions.of(member, 0);
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += static_cast<double>(added[i]);
    choice.accuracy =
        100 * static_cast<double>(best.correct) / static_cast<double>(predictions.samples());
  }
  return choice;
}

}  // namespace last
