#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "trainer/data/batch_memory.h"
#include "trainer/data/dataset.h"
#include "trainer/data/sampler.h"

namespace last {

// How features get from the disk into memory.
struct ReadOptions {
  // Threads that wait for the disk. More than processors, so that one can check a checksum while
  // the others keep the disk busy.
  int threads = 4;
  bool pinned = false;  // batches in page-locked memory, for copies to a GPU
  std::shared_ptr<BatchMemory> memory = std::make_shared<BatchMemory>();  // sources may share it
};

// The rows of a data set, cut down to the maps that are needed: held in memory, or read from the
// store each time. The results are the same.
class FeatureSource {
 public:
  // `maps`: indices into the stored layers, ascending. `resident`: keep all rows in memory; load()
  // reads them, or else the first BatchLoader.
  FeatureSource(Dataset data, std::vector<int64_t> maps, bool resident, ReadOptions read = {});

  const Dataset& data() const { return data_; }
  const ReadOptions& read_options() const { return read_; }
  bool resident() const { return resident_; }
  bool loaded() const { return rows_.defined(); }
  // Reads all rows into memory; `on_row` is called on this thread with the number of rows done, now
  // and then and at the end, and may throw. Where rows are damaged, the Error is that of the first.
  void load(const std::function<void(int64_t)>& on_row);

  // Bytes of a row cut down to the needed maps, and of all of them.
  int64_t row_bytes() const { return map_bytes_ * static_cast<int64_t>(maps_.size()); }
  int64_t total_bytes() const { return data_.total_rows() * row_bytes(); }

  // Memory for [rows, maps, n, D] in the store's dtype, from read_options().memory.
  at::Tensor batch_memory(int64_t rows) const;
  // A hint that the row will be fetched soon.
  void will_need(const Draw& draw) const;
  // One row's maps into `destination`, row_bytes(). Thread-safe once load() is done, where each
  // thread has its own `buffer`. An Error names file, row and checksums of a damaged row.
  void fetch(const Draw& draw, char* destination, std::vector<char>& buffer) const;

 private:
  std::vector<int64_t> shape(int64_t rows) const;

  Dataset data_;
  std::vector<int64_t> maps_;
  bool resident_;
  ReadOptions read_;
  std::vector<int64_t> first_row_;  // [samples], in rows_
  at::Tensor rows_;                 // [rows of all views, maps, n, D]
  int64_t map_bytes_ = 0;
};

}  // namespace last
