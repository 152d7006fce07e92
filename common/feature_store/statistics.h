#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <vector>

#include "common/feature_store/each_row.h"
#include "common/feature_store/manifest.h"
#include "common/io/file.h"

namespace last {

// Mean and population standard deviation per (layer, channel), each [layers, dim] row-major.
struct ChannelStatistics {
  std::vector<float> mean;
  std::vector<float> std;
};

// Of one row: mean and sum of squared deviations from it, per (layer, channel), in double
// precision.
class RowMoments {
 public:
  explicit RowMoments(const Manifest& manifest);

  // `map`: finite [tokens, dim] of the layer at `index` among those of the store, aligned to its
  // elements. Every layer once.
  void take(int64_t index, const void* map);

 private:
  friend class StatisticsSum;
  RowMoments() = default;

  c10::ScalarType dtype_{};
  int64_t tokens_ = 0, dim_ = 0;
  std::vector<double> mean_, squares_;  // [layers, dim]; empty: of a row that is left out
};

// The statistics over all tokens of rows 0 .. rows-1, which may come from several threads and in
// nearly any order. Their moments are merged in ascending order of rows (Chan, Golub, LeVeque
// 1979): the result depends on nothing but the rows.
class StatisticsSum {
 public:
  // Rows that may wait for an earlier one.
  static constexpr size_t kMostWaiting = 64;

  StatisticsSum(const Manifest& manifest, int64_t rows);

  // Each row once; where that does not hold, or more rows would wait than may, the sum stays
  // incomplete.
  void add(int64_t row, RowMoments moments);
  void leave_out(int64_t row);

  // Whether every row was added or left out.
  bool complete() const;
  // At least one row was added.
  ChannelStatistics result() const;

 private:
  void merge(const RowMoments& moments);

  const int64_t tokens_, rows_;

  mutable std::mutex mutex_;
  std::map<int64_t, RowMoments> waiting_;
  RowMoments total_;
  int64_t next_ = 0;   // the first row that is not merged
  int64_t added_ = 0;  // rows merged that were not left out
  bool lost_ = false;
};

// Over `rows` (at least one), read from `file`, whose row 0 lies at `features_offset`.
ChannelStatistics compute_statistics(const File& file, const Manifest& manifest,
                                     uint64_t features_offset, std::span<const int64_t> rows,
                                     const RowProgress& progress = {});

}  // namespace last
