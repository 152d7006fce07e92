#include "extractor/pipeline/row_writer.h"

#include <atomic>

namespace last {

RowWriter::RowWriter(FeatureStoreWriter& store, int threads)
    : store_(store), pool_(threads), thread_([this] { work(); }) {}

RowWriter::~RowWriter() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void RowWriter::rethrow() const {
  if (error_) std::rethrow_exception(error_);
}

void RowWriter::write(ImageBatch batch, at::Tensor maps) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !waiting_ || error_; });
  rethrow();
  waiting_.emplace(std::move(batch), std::move(maps));
  changed_.notify_all();
}

void RowWriter::flush() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return (!waiting_ && !busy_) || error_; });
  rethrow();
}

void RowWriter::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return waiting_ || stop_; });
    if (!waiting_) return;
    const Job job = std::move(*waiting_);
    waiting_.reset();
    busy_ = true;
    lock.unlock();
    changed_.notify_all();
    std::exception_ptr error;
    try {
      write_rows(job);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    busy_ = false;
    changed_.notify_all();
    if (error) {
      error_ = error;
      return;
    }
  }
}

void RowWriter::write_rows(const Job& job) {
  store_.require_present();
  const auto& batch = job.first;
  const auto* data = static_cast<const char*>(job.second.data_ptr());
  const auto row_bytes = static_cast<size_t>(store_.manifest().row_bytes());
  const uint8_t* thumbnails =
      batch.thumbnails.defined() ? batch.thumbnails.const_data_ptr<uint8_t>() : nullptr;
  const int64_t thumbnail_bytes = store_.manifest().thumbnail_bytes();
  const auto count = static_cast<int64_t>(batch.images.size());
  std::atomic<int64_t> next{0};
  pool_.run([&](int) {
    for (int64_t i = next++; i < count; i = next++) {
      const int64_t row = batch.rows[static_cast<size_t>(i)];
      const RowImage& image = batch.images[static_cast<size_t>(i)];
      if (store_.state(row) != RowState::kAbsent) continue;
      if (image.bad_reason.empty()) {
        store_.write_row(row, data + static_cast<size_t>(i) * row_bytes, image.digest,
                         thumbnails == nullptr ? nullptr : thumbnails + i * thumbnail_bytes);
      } else {
        store_.write_bad_row(row, image.digest);
      }
    }
  });
}

}  // namespace last
