#include "common/feature_store/statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <future>
#include <thread>

namespace last {
namespace {

// fp16 without inf and NaN, which never get into a store. Branch-free, so that it vectorises.
float from_half(uint16_t half) {
  const uint32_t magnitude = half & 0x7fffu;
  const float normal = std::bit_cast<float>((magnitude << 13) + (112u << 23));
  const float subnormal = static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f;
  const float value = magnitude < 0x0400u ? subnormal : normal;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | (half & 0x8000u) << 16);
}

float from_bfloat16(uint16_t value) { return std::bit_cast<float>(uint32_t{value} << 16); }

float from_float(float value) { return value; }

// Running sums of one layer. The first token is subtracted from all (the shifted-data algorithm):
// channels of transformers often have means far larger than their deviations.
class LayerSums {
 public:
  explicit LayerSums(int64_t dim) : shift_(dim), sum_(dim), square_sum_(dim), values_(dim) {}

  template <class Element, class Decode>
  void add(const Element* elements, int64_t tokens, Decode decode) {
    const auto dim = static_cast<int64_t>(sum_.size());
    for (int64_t token = 0; token < tokens; ++token, elements += dim) {
      for (int64_t c = 0; c < dim; ++c) values_[c] = decode(elements[c]);
      if (count_++ == 0) std::ranges::copy(values_, shift_.begin());
      add_values();
    }
  }

  void store(float* mean, float* std) const {
    const auto count = static_cast<double>(count_);
    for (size_t c = 0; c < sum_.size(); ++c) {
      const double shifted_mean = sum_[c] / count;
      const double variance = square_sum_[c] / count - shifted_mean * shifted_mean;
      mean[c] = static_cast<float>(shift_[c] + shifted_mean);
      std[c] = static_cast<float>(std::sqrt(std::max(variance, 0.0)));
    }
  }

 private:
  void add_values() {
    const size_t dim = sum_.size();
    const float* values = values_.data();
    const double* shift = shift_.data();
    double* sum = sum_.data();
    double* square_sum = square_sum_.data();
    for (size_t c = 0; c < dim; ++c) {
      const double difference = static_cast<double>(values[c]) - shift[c];
      sum[c] += difference;
      square_sum[c] += difference * difference;
    }
  }

  int64_t count_ = 0;
  std::vector<double> shift_;
  std::vector<double> sum_;
  std::vector<double> square_sum_;
  std::vector<float> values_;
};

void add_layer(LayerSums& sums, const char* data, int64_t tokens, c10::ScalarType dtype) {
  switch (dtype) {
    case c10::ScalarType::Half:
      return sums.add(reinterpret_cast<const uint16_t*>(data), tokens, from_half);
    case c10::ScalarType::BFloat16:
      return sums.add(reinterpret_cast<const uint16_t*>(data), tokens, from_bfloat16);
    default:
      return sums.add(reinterpret_cast<const float*>(data), tokens, from_float);
  }
}

}  // namespace

ChannelStatistics compute_statistics(const File& file, const Manifest& manifest,
                                     uint64_t features_offset, std::span<const int64_t> rows) {
  const int64_t layers = manifest.layers();
  const int64_t tokens = manifest.backbone.tokens;
  const int64_t dim = manifest.backbone.dim;
  const auto row_bytes = static_cast<uint64_t>(manifest.row_bytes());
  const auto layer_bytes = row_bytes / static_cast<uint64_t>(layers);
  ChannelStatistics statistics{std::vector<float>(static_cast<size_t>(layers * dim)),
                               std::vector<float>(static_cast<size_t>(layers * dim))};

  const auto sum_layers = [&](int64_t begin, int64_t end) {
    std::vector<LayerSums> sums(static_cast<size_t>(end - begin), LayerSums(dim));
    std::vector<char> slice(sums.size() * layer_bytes);
    for (const int64_t row : rows) {
      file.read_at(slice.data(), slice.size(),
                   features_offset + static_cast<uint64_t>(row) * row_bytes +
                       static_cast<uint64_t>(begin) * layer_bytes);
      for (size_t i = 0; i < sums.size(); ++i) {
        add_layer(sums[i], slice.data() + i * layer_bytes, tokens, manifest.dtype);
      }
    }
    for (size_t i = 0; i < sums.size(); ++i) {
      const int64_t at = (begin + static_cast<int64_t>(i)) * dim;
      sums[i].store(statistics.mean.data() + at, statistics.std.data() + at);
    }
  };

  // Each thread reads its own layers of all rows, so none waits for another.
  const int64_t threads =
      std::clamp<int64_t>(std::thread::hardware_concurrency(), 1, std::min<int64_t>(layers, 16));
  std::vector<std::future<void>> parts;
  for (int64_t i = 0; i < threads; ++i) {
    parts.push_back(std::async(std::launch::async, sum_layers, layers * i / threads,
                               layers * (i + 1) / threads));
  }
  for (std::future<void>& part : parts) part.get();
  return statistics;
}

}  // namespace last
