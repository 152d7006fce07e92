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

// The statistics over all tokens of rows 0 .. rows-1, which may come from several threads and in
// nearly any order. The moments of a row are taken in double precision, and merged in ascending
// order of rows (Chan, Golub, LeVeque 1979): the result depends on nothing but the rows.
class StatisticsSum {
 public:
  // Rows that may wait for an earlier one.
  static constexpr size_t kMostWaiting = 64;

  StatisticsSum(const Manifest& manifest, int64_t rows);

  // `data`: one row, aligned to its elements. Each row once; where that does not hold, or more rows
  // would wait than may, the sum stays incomplete.
  void add(int64_t row, const void* data);
  void leave_out(int64_t row);

  // Whether every row was added or left out.
  bool complete() const;
  // At least one row was added.
  ChannelStatistics result() const;

 private:
  // Mean and sum of squared deviations from it, [layers, dim]; empty: left out.
  struct Moments {
    std::vector<double> mean;
    std::vector<double> squares;
  };

  Moments moments_of(const void* data) const;
  void take(int64_t row, Moments moments);
  void merge(const Moments& moments);

  const c10::ScalarType dtype_;
  const int64_t layers_, tokens_, dim_, rows_;

  mutable std::mutex mutex_;
  std::map<int64_t, Moments> waiting_;
  Moments total_;
  int64_t next_ = 0;   // the first row that is not merged
  int64_t added_ = 0;  // rows merged that were not left out
  bool lost_ = false;
};

// Over `rows` (at least one), read from `file`, whose row 0 lies at `features_offset`.
ChannelStatistics compute_statistics(const File& file, const Manifest& manifest,
                                     uint64_t features_offset, std::span<const int64_t> rows,
                                     const RowProgress& progress = {});

}  // namespace last
