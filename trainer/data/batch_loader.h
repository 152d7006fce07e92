#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include <ATen/core/Tensor.h>

#include "trainer/data/feature_source.h"

namespace last {

struct LabelledBatch {
  at::Tensor features;  // [B, maps, n, D], on the device where the source keeps its rows there
  at::Tensor labels;    // int32 [targets, B], on the CPU
};

// Batches in a given order. Threads of its own read the next ones while one is used, row by row
// into memory that is used again and again; rows that are kept on the device are put together
// there, without threads. Used by one thread; what comes out doesn't depend on the number of
// reading threads.
class BatchLoader {
 public:
  // Batches in memory: the one in use, and those being read. The second of these keeps all threads
  // busy while the first waits for its last row.
  static constexpr int64_t kWindow = 3;

  // `source` must outlive the loader. `drop_last`: leave out a last batch that is not full.
  // `first_batch`: skip earlier ones. An Error where the system gives fewer threads.
  BatchLoader(FeatureSource& source, std::vector<Draw> order, int64_t batch_size, bool drop_last,
              int64_t first_batch = 0);
  ~BatchLoader();  // returns when the rows in hand are read
  BatchLoader(const BatchLoader&) = delete;
  BatchLoader& operator=(const BatchLoader&) = delete;

  int64_t batches() const { return batches_; }
  // False after the last batch. `batch` should be the only owner of the batch before: its memory is
  // then used again. Throws what the reading of a row threw, of several that of the batch's first.
  bool next(LabelledBatch& batch);

 private:
  // A place in memory for every kWindow-th batch.
  struct Slot {
    at::Tensor memory;  // [batch size, maps, n, D]
    LabelledBatch batch;
    int64_t unread = 0;  // rows
    int64_t failed = 0;  // the first row that could not be read, and why
    std::exception_ptr error;
  };

  int64_t size_of(int64_t batch) const;
  bool on_device() const { return source_.residence() == Residence::kDevice; }
  LabelledBatch gathered(int64_t batch) const;
  Slot& slot_of(int64_t batch) { return slots_[static_cast<size_t>(batch % kWindow)]; }
  void open_next();
  void read_rows();
  void hint_after(int64_t row) const;
  void stop();

  FeatureSource& source_;
  const std::vector<Draw> order_;
  const int64_t batch_size_;
  int64_t batches_ = 0;
  int64_t rows_at_once_ = 1;

  std::mutex mutex_;
  std::condition_variable opened_, read_;
  std::array<Slot, kWindow> slots_;
  int64_t next_to_open_, next_to_return_;  // batches
  int64_t next_to_read_;                   // row, in `order_`
  int64_t end_of_open_;                    // row, in `order_`
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

// All samples in order, view 0.
std::vector<Draw> sequential_order(const Dataset& data);

}  // namespace last
