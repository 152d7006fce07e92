#pragma once

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <ATen/core/Tensor.h>

#include "common/feature_store/writer.h"
#include "common/threads/thread_pool.h"
#include "extractor/pipeline/image_loader.h"

namespace last {

// Writes batches while the next one is computed: one batch waits, one is written. Used by one
// thread.
class RowWriter {
 public:
  // `threads` write rows of a batch at the same time.
  RowWriter(FeatureStoreWriter& store, int threads);
  ~RowWriter();  // the batches handed over are written first
  RowWriter(const RowWriter&) = delete;
  RowWriter& operator=(const RowWriter&) = delete;

  // `maps`: [B, layers, tokens, dim] in the store's dtype on the CPU, contiguous. Only absent rows
  // are written. Waits while a batch is waiting already; throws what writing an earlier one threw.
  void write(ImageBatch batch, at::Tensor maps);
  // Waits until everything is written; throws what writing threw.
  void flush();

 private:
  using Job = std::pair<ImageBatch, at::Tensor>;

  void work();
  void write_rows(const Job& job);
  void rethrow() const;

  FeatureStoreWriter& store_;
  ThreadPool pool_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Job> waiting_;
  bool busy_ = false;
  bool stop_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace last
