#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include "trainer/data/batch_memory.h"
#include "trainer/data/dataset.h"
#include "trainer/data/sampler.h"

namespace last {

// Where the rows that every epoch reads are kept.
enum class Residence {
  kDisk,    // read from the store each time
  kMemory,  // in the machine's memory
  kDevice,  // in the memory of the device that computes
};

// How features get from the disk into memory.
struct ReadOptions {
  // Threads that wait for the disk. More than processors, so that one can check a checksum while
  // the others keep the disk busy.
  int threads = 4;
  // Where batches are needed. Those for a GPU are put together in page-locked memory, or there.
  c10::Device device = c10::Device(c10::kCPU);
  std::shared_ptr<BatchMemory> memory = std::make_shared<BatchMemory>();  // sources may share it
};

// The rows of a data set, cut down to the maps that are needed, wherever they are kept: the batches
// are the same.
class FeatureSource {
 public:
  // `maps`: indices into the stored layers, ascending. Rows that are kept are read by load(), or
  // else by the first BatchLoader.
  FeatureSource(Dataset data, std::vector<int64_t> maps, Residence residence,
                ReadOptions read = {});

  const Dataset& data() const { return data_; }
  const ReadOptions& read_options() const { return read_; }
  Residence residence() const { return residence_; }
  bool resident() const { return residence_ != Residence::kDisk; }
  bool loaded() const { return rows_.defined(); }
  // Reads all rows to where they are kept; `on_row` is called on this thread with the number of
  // rows done, now and then and at the end, and may throw. Where rows are damaged, the Error is
  // that of the first.
  void load(const std::function<void(int64_t)>& on_row);

  // Bytes of a row cut down to the needed maps, and of all of them.
  int64_t row_bytes() const { return map_bytes_ * static_cast<int64_t>(maps_.size()); }
  int64_t total_bytes() const { return data_.total_rows() * row_bytes(); }

  // Memory for [rows, maps, n, D] in the store's dtype, from read_options().memory.
  at::Tensor batch_memory(int64_t rows) const;
  // A hint that the row will be fetched soon.
  void will_need(const Draw& draw) const;
  // Rows that are kept on the device, as a batch: [draws, maps, n, D].
  at::Tensor gather(std::span<const Draw> draws) const;
  // Of rows that aren't: one row's maps into `destination`, row_bytes(). Thread-safe once load() is
  // done, where each thread has its own `buffer`. An Error names file, row and checksums of a
  // damaged row.
  void fetch(const Draw& draw, char* destination, std::vector<char>& buffer) const;

 private:
  std::vector<int64_t> shape(int64_t rows) const;
  int64_t row_of(const Draw& draw) const {
    return first_row_[static_cast<size_t>(draw.sample)] + draw.view;
  }
  // The rows of `draws`, with all threads. `on_row` as of load().
  void read(std::span<const Draw> draws, char* destination,
            const std::function<void(int64_t)>& on_row) const;

  Dataset data_;
  std::vector<int64_t> maps_;
  Residence residence_;
  ReadOptions read_;
  std::vector<int64_t> first_row_;  // [samples], in rows_
  at::Tensor rows_;                 // [rows of all views, maps, n, D]
  int64_t map_bytes_ = 0;
};

}  // namespace last
