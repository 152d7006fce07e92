#pragma once

#include <cstdint>
#include <vector>

namespace last {

// What K networks say about the labelled samples of one target.
struct Predictions {
  int64_t networks = 0;
  int64_t classes = 0;
  std::vector<int32_t> labels;       // [samples]
  std::vector<float> probabilities;  // [K, samples, classes]

  int64_t samples() const { return static_cast<int64_t>(labels.size()); }
  float* of(int64_t network, int64_t sample) {
    return probabilities.data() + (network * samples() + sample) * classes;
  }
  const float* of(int64_t network, int64_t sample) const {
    return probabilities.data() + (network * samples() + sample) * classes;
  }
};

struct EnsembleChoice {
  std::vector<int64_t> members;  // positions in the predictions, in the order chosen; may repeat
  double accuracy = 0;           // percent, of the mean of the members' probabilities
};

// Greedy forward selection with replacement (Caruana et al., "Ensemble selection from libraries of
// models", ICML 2004): `size` times the network is added that makes the mean of the probabilities
// best: most samples right, then the lowest cross-entropy, then the first network. With one class
// label per sample and networks that agree on most, the second decides often.
EnsembleChoice select_ensemble(const Predictions& predictions, int64_t size);

}  // namespace last
