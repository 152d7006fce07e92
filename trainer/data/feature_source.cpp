#include "trainer/data/feature_source.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <mutex>
#include <utility>

#include <ATen/ops/empty.h>
#include <c10/core/TensorOptions.h>

#include "common/threads/thread_pool.h"

namespace last {

FeatureSource::FeatureSource(Dataset data, std::vector<int64_t> maps, bool resident,
                             ReadOptions read)
    : data_(std::move(data)), maps_(std::move(maps)), resident_(resident), read_(std::move(read)) {
  const Manifest& manifest = data_.manifest();
  map_bytes_ = manifest.row_bytes() / manifest.layers();
}

std::vector<int64_t> FeatureSource::shape(int64_t rows) const {
  const BackboneInfo& backbone = data_.manifest().backbone;
  return {rows, static_cast<int64_t>(maps_.size()), backbone.tokens, backbone.dim};
}

at::Tensor FeatureSource::batch_memory(int64_t rows) const {
  return read_.memory->take(
      shape(rows), c10::TensorOptions().dtype(data_.manifest().dtype).pinned_memory(read_.pinned));
}

void FeatureSource::load(const std::function<void(int64_t)>& on_row) {
  std::vector<Draw> draws;
  std::vector<int64_t> first_row;
  for (int64_t sample = 0; sample < data_.size(); ++sample) {
    first_row.push_back(static_cast<int64_t>(draws.size()));
    for (int64_t view = 0; view < data_.views(sample); ++view) draws.push_back({sample, view});
  }
  const auto total = static_cast<int64_t>(draws.size());
  const auto rows = at::empty(shape(total), data_.manifest().dtype);
  auto* bytes = static_cast<char*>(rows.mutable_data_ptr());

  std::atomic<int64_t> next{0}, done{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  int64_t failed = total;  // the first row that could not be read: its predecessors were all taken
  std::exception_ptr error;
  ThreadPool(read_.threads).run([&](int thread) {
    std::vector<char> buffer;
    for (int64_t row = next++; row < total && !stop; row = next++) {
      try {
        const auto index = static_cast<size_t>(row);
        data_.read(draws[index].sample, draws[index].view, maps_, bytes + row * row_bytes(),
                   buffer);
        ++done;
        if (thread == 0) on_row(done);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (row < failed) error = std::current_exception();
        failed = std::min(failed, row);
        stop = true;
      }
    }
  });
  if (error) std::rethrow_exception(error);
  on_row(total);
  first_row_ = std::move(first_row);
  rows_ = rows;
}

void FeatureSource::will_need(const Draw& draw) const {
  if (!resident_) data_.will_need(draw.sample, draw.view);
}

void FeatureSource::fetch(const Draw& draw, char* destination, std::vector<char>& buffer) const {
  if (!resident_) return data_.read(draw.sample, draw.view, maps_, destination, buffer);
  const auto* rows = static_cast<const char*>(rows_.const_data_ptr());
  const int64_t row = first_row_[static_cast<size_t>(draw.sample)] + draw.view;
  std::memcpy(destination, rows + row * row_bytes(), static_cast<size_t>(row_bytes()));
}

}  // namespace last
