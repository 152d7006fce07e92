#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "common/backbone_info.h"
#include "trainer/data/dataset.h"
#include "trainer/data/sampler.h"

namespace last {

// The rows of a data set, cut down to the maps that are needed: held in memory, or read from the
// store each time. The results are the same.
class FeatureSource {
 public:
  // `maps`: indices into the stored layers, ascending. `resident`: keep all rows in memory; load()
  // reads them, or else the first use.
  FeatureSource(Dataset data, std::vector<int64_t> maps, bool resident);

  const Dataset& data() const { return data_; }
  bool resident() const { return resident_; }
  bool loaded() const { return rows_.defined(); }
  // Reads all rows into memory; `on_row` is called with the number of rows done and may throw.
  void load(const std::function<void(int64_t)>& on_row);
  // Bytes of all rows cut down to the needed maps.
  int64_t total_bytes() const;
  // [B, maps, n, D] in the store's dtype.
  at::Tensor gather(const std::vector<Draw>& draws);

 private:
  at::Tensor empty_rows(int64_t rows) const;
  void copy_maps(const char* row, char* destination) const;

  Dataset data_;
  std::vector<int64_t> maps_;
  bool resident_;
  std::vector<int64_t> first_row_;  // [samples], in rows_
  at::Tensor rows_;                 // [rows of all views, maps, n, D]
  std::vector<char> row_buffer_;
  int64_t tokens_ = 0;
  int64_t dim_ = 0;
  at::ScalarType dtype_ = at::kHalf;
  int64_t map_bytes_ = 0;
};

struct LabelledBatch {
  at::Tensor features;  // [B, maps, n, D]
  at::Tensor labels;    // int32 [targets, B]
};

// Batches in a given order, the next one being read while the current one is used.
class BatchLoader {
 public:
  // `drop_last`: leave out a last batch that is not full. `first_batch`: skip earlier ones.
  BatchLoader(FeatureSource& source, std::vector<Draw> order, int64_t batch_size, bool drop_last,
              int64_t first_batch = 0);
  ~BatchLoader();

  int64_t batches() const { return batches_; }
  // False after the last batch.
  bool next(LabelledBatch& batch);

 private:
  LabelledBatch load(int64_t index) const;
  void start();

  FeatureSource& source_;
  std::vector<Draw> order_;
  int64_t batch_size_;
  int64_t batches_;
  int64_t next_;
  std::future<LabelledBatch> pending_;
};

// All samples in order, view 0.
std::vector<Draw> sequential_order(const Dataset& data);

}  // namespace last
