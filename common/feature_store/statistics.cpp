#include "common/feature_store/statistics.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/feature_store/channel_sums.h"

namespace last {

RowMoments::RowMoments(const Manifest& manifest)
    : dtype_(manifest.dtype), tokens_(manifest.backbone.tokens), dim_(manifest.backbone.dim) {
  mean_.resize(static_cast<size_t>(manifest.layers() * dim_));
  squares_.resize(mean_.size());
}

void RowMoments::take(int64_t index, const void* map) {
  std::vector<double> shift(dim_), sum(dim_), squared(dim_);
  channel_sums_functions().front()(map, tokens_, dim_, dtype_,
                                   {shift.data(), sum.data(), squared.data()});
  const auto count = static_cast<double>(tokens_);
  double* mean = mean_.data() + index * dim_;
  double* squares = squares_.data() + index * dim_;
  for (size_t c = 0; c < sum.size(); ++c) {
    mean[c] = shift[c] + sum[c] / count;
    squares[c] = std::max(0.0, squared[c] - sum[c] * sum[c] / count);
  }
}

StatisticsSum::StatisticsSum(const Manifest& manifest, int64_t rows)
    : tokens_(manifest.backbone.tokens), rows_(rows), total_(manifest) {}

void StatisticsSum::leave_out(int64_t row) { add(row, {}); }

void StatisticsSum::add(int64_t row, RowMoments moments) {
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

void StatisticsSum::merge(const RowMoments& moments) {
  if (moments.mean_.empty()) return;
  const auto before = static_cast<double>(added_);
  const double weight = 1 / static_cast<double>(++added_);  // of the new row
  const double spread = before * weight * static_cast<double>(tokens_);
  for (size_t i = 0; i < total_.mean_.size(); ++i) {
    const double distance = moments.mean_[i] - total_.mean_[i];
    total_.mean_[i] += distance * weight;
    total_.squares_[i] += moments.squares_[i] + distance * distance * spread;
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
  for (size_t i = 0; i < total_.mean_.size(); ++i) {
    statistics.mean.push_back(static_cast<float>(total_.mean_[i]));
    statistics.std.push_back(static_cast<float>(std::sqrt(total_.squares_[i] / count)));
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
  const uint64_t map_bytes = row_bytes / static_cast<uint64_t>(manifest.layers());
  for_each_row(
      count, kBlock,
      [&](int64_t i, std::vector<char>& row) {
        const auto index = static_cast<uint64_t>(rows[static_cast<size_t>(i)]);
        row.resize(row_bytes);
        file.read_at(row.data(), row_bytes, features_offset + index * row_bytes);
        RowMoments moments(manifest);
        for (int64_t layer = 0; layer < manifest.layers(); ++layer) {
          moments.take(layer, row.data() + static_cast<uint64_t>(layer) * map_bytes);
        }
        sum.add(i, std::move(moments));
      },
      progress);
  return sum.result();
}

}  // namespace last
