#include "trainer/data/batch_loader.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include <ATen/ops/empty.h>

#include "common/error.h"

namespace last {
namespace {

// Rows smaller than this are read, and asked for beforehand, several at a time: threads should not
// meet for a few bytes, nor the disk wait for the next request.
constexpr int64_t kBytesAtOnce = int64_t{1} << 20;

at::Tensor labels_of(const Dataset& data, const Draw* draws, int64_t size) {
  auto labels = at::empty({data.targets(), size}, at::kInt);
  auto* label = labels.mutable_data_ptr<int32_t>();
  for (int64_t target = 0; target < data.targets(); ++target) {
    for (int64_t i = 0; i < size; ++i) {
      *label++ = data.labels(target)[static_cast<size_t>(draws[i].sample)];
    }
  }
  return labels;
}

}  // namespace

BatchLoader::BatchLoader(FeatureSource& source, std::vector<Draw> order, int64_t batch_size,
                         bool drop_last, int64_t first_batch)
    : source_(source),
      order_(std::move(order)),
      batch_size_(batch_size),
      next_to_open_(first_batch),
      next_to_return_(first_batch),
      next_to_read_(first_batch * batch_size),
      end_of_open_(next_to_read_) {
  const auto rows = static_cast<int64_t>(order_.size());
  batches_ = drop_last ? rows / batch_size : (rows + batch_size - 1) / batch_size;
  if (next_to_open_ >= batches_) return;
  if (source_.resident() && !source_.loaded()) source_.load([](int64_t) {});
  if (on_device()) return;
  rows_at_once_ = std::max<int64_t>(1, kBytesAtOnce / std::max<int64_t>(1, source_.row_bytes()));
  for (int64_t i = 0; i < kWindow; ++i) open_next();
  const int threads = std::max(1, source_.read_options().threads);
  try {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { read_rows(); });
  } catch (const std::system_error& error) {
    stop();
    fail("can't start ", threads, " threads that read features: ", error.code().message());
  }
}

BatchLoader::~BatchLoader() {
  stop();
  for (Slot& slot : slots_) {
    slot.batch = {};
    source_.read_options().memory->keep(std::move(slot.memory));
  }
}

void BatchLoader::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  opened_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

int64_t BatchLoader::size_of(int64_t batch) const {
  return std::min(batch_size_, static_cast<int64_t>(order_.size()) - batch * batch_size_);
}

void BatchLoader::open_next() {
  if (next_to_open_ >= batches_) return;
  Slot& slot = slot_of(next_to_open_);
  const int64_t size = size_of(next_to_open_);
  slot.batch = {};
  if (!slot.memory.defined() || is_shared(slot.memory)) {
    slot.memory = source_.batch_memory(batch_size_);
  }
  slot.batch.features = size == batch_size_ ? slot.memory : slot.memory.narrow(0, 0, size);
  slot.batch.labels = labels_of(source_.data(), &order_[static_cast<size_t>(end_of_open_)], size);
  slot.unread = size;
  slot.error = nullptr;
  end_of_open_ += size;
  ++next_to_open_;
}

// The disk should not rest while all threads take checksums: the rows behind those that they are
// going to take next.
void BatchLoader::hint_after(int64_t row) const {
  const auto threads = static_cast<int64_t>(std::max(1, source_.read_options().threads));
  const int64_t begin = row + (threads - 1) * rows_at_once_;
  const int64_t end = std::min(begin + rows_at_once_, static_cast<int64_t>(order_.size()));
  for (int64_t i = begin; i < end; ++i) source_.will_need(order_[static_cast<size_t>(i)]);
}

void BatchLoader::read_rows() {
  std::vector<char> buffer;
  std::unique_lock lock(mutex_);
  for (;;) {
    opened_.wait(lock, [&] { return stop_ || next_to_read_ < end_of_open_; });
    if (stop_) return;
    const int64_t begin = next_to_read_;
    const int64_t batch = begin / batch_size_;
    const int64_t first = batch * batch_size_;
    const int64_t end = std::min(begin + rows_at_once_, first + size_of(batch));
    next_to_read_ = end;
    Slot& slot = slot_of(batch);
    auto* memory = static_cast<char*>(slot.memory.mutable_data_ptr());
    lock.unlock();
    std::exception_ptr error;
    int64_t row = begin;
    try {
      hint_after(end);
      for (; row < end; ++row) {
        source_.fetch(order_[static_cast<size_t>(row)],
                      memory + (row - first) * source_.row_bytes(), buffer);
      }
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    slot.unread -= end - begin;
    if (error && (!slot.error || row < slot.failed)) {
      slot.error = error;
      slot.failed = row;
    }
    if (slot.unread == 0) read_.notify_one();
  }
}

LabelledBatch BatchLoader::gathered(int64_t batch) const {
  const int64_t size = size_of(batch);
  const std::span draws(&order_[static_cast<size_t>(batch * batch_size_)],
                        static_cast<size_t>(size));
  return {source_.gather(draws), labels_of(source_.data(), draws.data(), size)};
}

bool BatchLoader::next(LabelledBatch& batch) {
  batch = {};  // its memory is free for the batch that is opened here
  if (next_to_return_ >= batches_) return false;
  if (on_device()) {
    batch = gathered(next_to_return_++);
    return true;
  }
  std::unique_lock lock(mutex_);
  while (next_to_open_ < std::min(batches_, next_to_return_ + kWindow)) open_next();
  opened_.notify_all();
  Slot& slot = slot_of(next_to_return_);
  read_.wait(lock, [&] { return slot.unread == 0; });
  if (slot.error) std::rethrow_exception(slot.error);
  ++next_to_return_;
  batch = std::move(slot.batch);
  slot.batch = {};
  return true;
}

std::vector<Draw> sequential_order(const Dataset& data) {
  std::vector<Draw> order;
  for (int64_t sample = 0; sample < data.size(); ++sample) order.push_back({sample, 0});
  return order;
}

}  // namespace last
