#include "common/feature_store/statistics.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/feature_store/channel_sums.h"

namespace last {

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
  const ChannelSumsFunction sum_channels = channel_sums_functions().front();
  std::vector<double> shift(dim_), sum(dim_), squared(dim_);
  for (int64_t layer = 0; layer < layers_; ++layer) {
    sum_channels(bytes + static_cast<size_t>(layer) * layer_bytes, tokens_, dim_, dtype_,
                 {shift.data(), sum.data(), squared.data()});
    double* mean = moments.mean.data() + layer * dim_;
    double* squares = moments.squares.data() + layer * dim_;
    for (size_t c = 0; c < sum.size(); ++c) {
      mean[c] = shift[c] + sum[c] / count;
      squares[c] = std::max(0.0, squared[c] - sum[c] * sum[c] / count);
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
                                     uint64_t features_offset, std::span<const int64_t> rows,
                                     const RowProgress& progress) {
  const auto row_bytes = static_cast<uint64_t>(manifest.row_bytes());
  const auto count = static_cast<int64_t>(rows.size());
  StatisticsSum sum(manifest, count);
  // In blocks of this size no more rows can wait.
  constexpr auto kBlock = static_cast<int64_t>(StatisticsSum::kMostWaiting);
  for_each_row(
      count, kBlock,
      [&](int64_t i, std::vector<char>& row) {
        const auto index = static_cast<uint64_t>(rows[static_cast<size_t>(i)]);
        row.resize(row_bytes);
        file.read_at(row.data(), row_bytes, features_offset + index * row_bytes);
        sum.add(i, row.data());
      },
      progress);
  return sum.result();
}

}  // namespace last
