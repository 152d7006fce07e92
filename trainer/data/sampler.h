#pragma once

#include <cstdint>
#include <vector>

namespace last {

// SplitMix64: a counter-based generator, the same on every machine. Independent streams come from
// different seeds mixed by `mix_seed`.
class RandomStream {
 public:
  explicit RandomStream(uint64_t seed) : state_(seed) {}
  uint64_t next();
  // Uniform in 0..bound-1, without modulo bias.
  uint64_t below(uint64_t bound);

 private:
  uint64_t state_;
};

uint64_t mix_seed(uint64_t seed, uint64_t stream);

// Fisher-Yates.
void shuffle(std::vector<int64_t>& values, RandomStream& random);

// Which sample, which of its views.
struct Draw {
  int64_t sample = 0;
  int64_t view = 0;
};

// The order of one epoch: all samples once, shuffled, each with one of its views. It depends on
// data_seed and epoch only, so that a run can be resumed anywhere.
//   views [samples]
std::vector<Draw> epoch_order(const std::vector<int64_t>& views, uint64_t data_seed, int64_t epoch);

}  // namespace last
