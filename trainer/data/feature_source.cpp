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
namespace {

constexpr int64_t kBufferBytes = int64_t{64} << 20;

}  // namespace

FeatureSource::FeatureSource(Dataset data, std::vector<int64_t> maps, Residence residence,
                             ReadOptions read)
    : data_(std::move(data)),
      maps_(std::move(maps)),
      residence_(residence),
      read_(std::move(read)) {
  const Manifest& manifest = data_.manifest();
  map_bytes_ = manifest.row_bytes() / manifest.layers();
}

std::vector<int64_t> FeatureSource::shape(int64_t rows) const {
  const BackboneInfo& backbone = data_.manifest().backbone;
  return {rows, static_cast<int64_t>(maps_.size()), backbone.tokens, backbone.dim};
}

at::Tensor FeatureSource::batch_memory(int64_t rows) const {
  const auto options = c10::TensorOptions().dtype(data_.manifest().dtype);
  return read_.memory->take(shape(rows), options.pinned_memory(read_.device.is_cuda()));
}

void FeatureSource::read(std::span<const Draw> draws, char* destination,
                         const std::function<void(int64_t)>& on_row) const {
  const auto total = static_cast<int64_t>(draws.size());
  std::atomic<int64_t> next{0}, done{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  int64_t failed = total;  // the first row that could not be read: its predecessors were all taken
  std::exception_ptr error;
  ThreadPool(read_.threads).run([&](int thread) {
    std::vector<char> buffer;
    for (int64_t row = next++; row < total && !stop; row = next++) {
      try {
        const Draw& draw = draws[static_cast<size_t>(row)];
        data_.read(draw.sample, draw.view, maps_, destination + row * row_bytes(), buffer);
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
}

void FeatureSource::load(const std::function<void(int64_t)>& on_row) {
  std::vector<Draw> draws;
  std::vector<int64_t> first_row;
  for (int64_t sample = 0; sample < data_.size(); ++sample) {
    first_row.push_back(static_cast<int64_t>(draws.size()));
    for (int64_t view = 0; view < data_.views(sample); ++view) draws.push_back({sample, view});
  }
  const auto total = static_cast<int64_t>(draws.size());
  const bool on_device = residence_ == Residence::kDevice;
  const auto rows = at::empty(shape(total), c10::TensorOptions()
                                                .dtype(data_.manifest().dtype)
                                                .device(on_device ? read_.device : c10::kCPU));
  // What goes to a device goes by a buffer; else there is one piece.
  const int64_t piece = on_device ? std::max<int64_t>(1, kBufferBytes / row_bytes()) : total;
  const auto buffer = on_device ? at::empty(shape(std::min(piece, total)), rows.dtype()) : rows;
  for (int64_t first = 0; first < total; first += piece) {
    const int64_t size = std::min(piece, total - first);
    read(std::span(draws).subspan(static_cast<size_t>(first), static_cast<size_t>(size)),
         static_cast<char*>(buffer.mutable_data_ptr()),
         [&](int64_t done) { on_row(first + done); });
    if (on_device) rows.narrow(0, first, size).copy_(buffer.narrow(0, 0, size));
  }
  first_row_ = std::move(first_row);
  rows_ = rows;
}

void FeatureSource::will_need(const Draw& draw) const {
  if (!resident()) data_.will_need(draw.sample, draw.view);
}

at::Tensor FeatureSource::gather(std::span<const Draw> draws) const {
  auto index = at::empty({static_cast<int64_t>(draws.size())}, at::kLong);
  std::transform(draws.begin(), draws.end(), index.mutable_data_ptr<int64_t>(),
                 [&](const Draw& draw) { return row_of(draw); });
  return rows_.index_select(0, index.to(rows_.device()));
}

void FeatureSource::fetch(const Draw& draw, char* destination, std::vector<char>& buffer) const {
  if (!resident()) return data_.read(draw.sample, draw.view, maps_, destination, buffer);
  const auto* rows = static_cast<const char*>(rows_.const_data_ptr());
  std::memcpy(destination, rows + row_of(draw) * row_bytes(), static_cast<size_t>(row_bytes()));
}

}  // namespace last
