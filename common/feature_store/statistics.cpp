#include "common/feature_store/statistics.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <thread>
#include <utility>

#include "common/threads/thread_pool.h"

namespace last {
namespace {

// fp16 without inf and NaN, which never get into a store. Branch-free, so that it vectorises.
inline float decode_half(uint16_t half) {
  const uint32_t magnitude = half & 0x7fffu;
  const float normal = std::bit_cast<float>((magnitude << 13) + (112u << 23));
  const float subnormal = static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f;
  const float value = magnitude < 0x0400u ? subnormal : normal;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | (half & 0x8000u) << 16);
}

inline float decode_bfloat16(uint16_t value) { return std::bit_cast<float>(uint32_t{value} << 16); }

inline float decode_float(float value) { return value; }

// Sums over tokens of x - shift and of its square, per channel. Channels of transformers often have
// means far larger than their deviations: the shift is the first token.
struct Sums {
  explicit Sums(int64_t dim) : shift(dim), sum(dim), squares(dim), values(dim) {}

  std::vector<double> shift, sum, squares;
  std::vector<float> values;
};

template <class Element, float (*Decode)(Element)>
void add_tokens(const void* data, int64_t tokens, Sums& sums) {
  const auto* elements = static_cast<const Element*>(data);
  const size_t dim = sums.sum.size();
  float* values = sums.values.data();
  double* shift = sums.shift.data();
  double* sum = sums.sum.data();
  double* squares = sums.squares.data();
  for (size_t c = 0; c < dim; ++c) shift[c] = static_cast<double>(Decode(elements[c]));
  std::fill(sum, sum + dim, 0.0);
  std::fill(squares, squares + dim, 0.0);
  for (int64_t token = 0; token < tokens; ++token, elements += dim) {
    for (size_t c = 0; c < dim; ++c) values[c] = Decode(elements[c]);
    for (size_t c = 0; c < dim; ++c) {
      const double difference = static_cast<double>(values[c]) - shift[c];
      sum[c] += difference;
      squares[c] += difference * difference;
    }
  }
}

void add_layer(const void* data, int64_t tokens, c10::ScalarType dtype, Sums& sums) {
  switch (dtype) {
    case c10::ScalarType::Half:
      return add_tokens<uint16_t, decode_half>(data, tokens, sums);
    case c10::ScalarType::BFloat16:
      return add_tokens<uint16_t, decode_bfloat16>(data, tokens, sums);
    default:
      return add_tokens<float, decode_float>(data, tokens, sums);
  }
}

}  // namespace

StatisticsSum::StatisticsSum(const Manifest& manifest, int64_t rows)
    : dtype_(manifest.dtype),
      layers_(manifest.layers()),
      tokens_(manifest.backbone.tokens),
      dim_(manifest.backbone.dim),
      rows_(rows) {
  total_.mean.resize(static_cast<size_t>(layers_ * dim_));
  total_.squares.resize(static_cast<size_t>(layers_ * dim_));
}

void StatisticsSum::add(int64_t row, const void* data) { take(row, moments_of(data)); }

void StatisticsSum::leave_out(int64_t row) { take(row, {}); }

StatisticsSum::Moments StatisticsSum::moments_of(const void* data) const {
  const auto* bytes = static_cast<const char*>(data);
  const auto layer_bytes = static_cast<size_t>(tokens_ * dim_) * c10::elementSize(dtype_);
  const auto count = static_cast<double>(tokens_);
  Moments moments{std::vector<double>(total_.mean.size()), std::vector<double>(total_.mean.size())};
  Sums sums(dim_);
  for (int64_t layer = 0; layer < layers_; ++layer) {
    add_layer(bytes + static_cast<size_t>(layer) * layer_bytes, tokens_, dtype_, sums);
    double* mean = moments.mean.data() + layer * dim_;
    double* squares = moments.squares.data() + layer * dim_;
    for (size_t c = 0; c < sums.sum.size(); ++c) {
      mean[c] = sums.shift[c] + sums.sum[c] / count;
      squares[c] = std::max(0.0, sums.squares[c] - sums.sum[c] * sums.sum[c] / count);
    }
  }
  return moments;
}

void StatisticsSum::take(int64_t row, Moments moments) {
  const std::lock_guard lock(mutex_);
  if (lost_) return;
  const bool fresh = row >= next_ && waiting_.emplace(row, std::move(moments)).second;
  while (!waiting_.empty() && waiting_.begin()->first == next_) {
    merge(waiting_.begin()->second);
    waiting_.erase(waiting_.begin());
    ++next_;
  }
  if (fresh && waiting_.size() <= kMostWaiting) return;
  lost_ = true;
  waiting_.clear();
}

void StatisticsSum::merge(const Moments& moments) {
  if (moments.mean.empty()) return;
  const auto before = static_cast<double>(added_);
  const double weight = 1 / static_cast<double>(++added_);  // of the new row
  const double spread = before * weight * static_cast<double>(tokens_);
  for (size_t i = 0; i < total_.mean.size(); ++i) {
    const double distance = moments.mean[i] - total_.mean[i];
    total_.mean[i] += distance * weight;
    total_.squares[i] += moments.squares[i] + distance * distance * spread;
  }
}

bool StatisticsSum::complete() const {
  const std::lock_guard lock(mutex_);
  return !lost_ && next_ == rows_;
}

ChannelStatistics StatisticsSum::result() const {
  const std::lock_guard lock(mutex_);
  const auto count = static_cast<double>(added_ * tokens_);
  ChannelStatistics statistics;
  for (size_t i = 0; i < total_.mean.size(); ++i) {
    statistics.mean.push_back(static_cast<float>(total_.mean[i]));
    statistics.std.push_back(static_cast<float>(std::sqrt(total_.squares[i] / count)));
  }
  return statistics;
}

ChannelStatistics compute_statistics(const File& file, const Manifest& manifest,
                                     uint64_t features_offset, std::span<const int64_t> rows) {
  const auto row_bytes = static_cast<uint64_t>(manifest.row_bytes());
  const auto count = static_cast<int64_t>(rows.size());
  StatisticsSum sum(manifest, count);
  ThreadPool pool(static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1U, 16U)));
  constexpr auto kBlock = static_cast<int64_t>(StatisticsSum::kMostWaiting);
  for (int64_t begin = 0; begin < count; begin += kBlock) {  // no more rows can wait
    const int64_t end = std::min(begin + kBlock, count);
    std::atomic<int64_t> next{begin};
    pool.run([&](int) {
      std::vector<char> row(row_bytes);
      for (int64_t i = next++; i < end; i = next++) {
        const auto index = static_cast<uint64_t>(rows[static_cast<size_t>(i)]);
        file.read_at(row.data(), row_bytes, features_offset + index * row_bytes);
        sum.add(i, row.data());
      }
    });
  }
  return sum.result();
}

}  // namespace last
