#include "trainer/data/sampler.h"

#include <cstddef>
#include <limits>
#include <numeric>
#include <utility>

namespace last {

uint64_t RandomStream::next() {
  state_ += 0x9E3779B97F4A7C15ULL;
  uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

uint64_t RandomStream::below(uint64_t bound) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  const uint64_t limit = kMax - kMax % bound;  // a multiple of bound
  uint64_t value = next();
  while (value >= limit) value = next();
  return value % bound;
}

uint64_t mix_seed(uint64_t seed, uint64_t stream) {
  RandomStream random(seed ^ (stream + 1) * 0xD1B54A32D192ED03ULL);
  random.next();
  return random.next();
}

void shuffle(std::vector<int64_t>& values, RandomStream& random) {
  for (size_t i = values.size(); i > 1; --i) {
    std::swap(values[i - 1], values[random.below(i)]);
  }
}

std::vector<Draw> epoch_order(const std::vector<int64_t>& views, uint64_t data_seed,
                              int64_t epoch) {
  RandomStream random(mix_seed(data_seed, static_cast<uint64_t>(epoch)));
  std::vector<int64_t> samples(views.size());
  std::iota(samples.begin(), samples.end(), int64_t{0});
  shuffle(samples, random);
  std::vector<Draw> order;
  order.reserve(samples.size());
  for (const int64_t sample : samples) {
    const auto count = static_cast<uint64_t>(views[static_cast<size_t>(sample)]);
    order.push_back({sample, count > 1 ? static_cast<int64_t>(random.below(count)) : 0});
  }
  return order;
}

}  // namespace last
