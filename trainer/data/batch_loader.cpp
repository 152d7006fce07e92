#include "trainer/data/batch_loader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <ATen/ops/empty.h>

namespace last {

FeatureSource::FeatureSource(Dataset data, std::vector<int64_t> maps, bool resident)
    : data_(std::move(data)), maps_(std::move(maps)), resident_(resident) {
  const Manifest& manifest = data_.manifest();
  tokens_ = manifest.backbone.tokens;
  dim_ = manifest.backbone.dim;
  dtype_ = manifest.dtype;
  map_bytes_ = manifest.row_bytes() / manifest.layers();
  row_buffer_.resize(static_cast<size_t>(manifest.row_bytes()));
}

int64_t FeatureSource::total_bytes() const {
  return data_.total_rows() * map_bytes_ * static_cast<int64_t>(maps_.size());
}

at::Tensor FeatureSource::empty_rows(int64_t rows) const {
  return at::empty({rows, static_cast<int64_t>(maps_.size()), tokens_, dim_}, dtype_);
}

void FeatureSource::copy_maps(const char* row, char* destination) const {
  for (const int64_t map : maps_) {
    std::memcpy(destination, row + map * map_bytes_, static_cast<size_t>(map_bytes_));
    destination += map_bytes_;
  }
}

void FeatureSource::load(const std::function<void(int64_t)>& on_row) {
  const auto rows = empty_rows(data_.total_rows());
  first_row_.clear();
  auto* destination = static_cast<char*>(rows.mutable_data_ptr());
  const int64_t bytes = map_bytes_ * static_cast<int64_t>(maps_.size());
  int64_t row = 0;
  for (int64_t sample = 0; sample < data_.size(); ++sample) {
    first_row_.push_back(row);
    for (int64_t view = 0; view < data_.views(sample); ++view, ++row) {
      data_.read(sample, view, row_buffer_.data());
      copy_maps(row_buffer_.data(), destination + row * bytes);
      on_row(row + 1);
    }
  }
  rows_ = rows;
}

at::Tensor FeatureSource::gather(const std::vector<Draw>& draws) {
  if (resident_ && !loaded()) load([](int64_t) {});
  auto batch = empty_rows(static_cast<int64_t>(draws.size()));
  auto* destination = static_cast<char*>(batch.mutable_data_ptr());
  const int64_t bytes = map_bytes_ * static_cast<int64_t>(maps_.size());
  for (const auto& [sample, view] : draws) {
    if (resident_) {
      const auto* rows = static_cast<const char*>(rows_.const_data_ptr());
      const int64_t row = first_row_[static_cast<size_t>(sample)] + view;
      std::memcpy(destination, rows + row * bytes, static_cast<size_t>(bytes));
    } else {
      data_.read(sample, view, row_buffer_.data());
      copy_maps(row_buffer_.data(), destination);
    }
    destination += bytes;
  }
  return batch;
}

BatchLoader::BatchLoader(FeatureSource& source, std::vector<Draw> order, int64_t batch_size,
                         bool drop_last, int64_t first_batch)
    : source_(source), order_(std::move(order)), batch_size_(batch_size), next_(first_batch) {
  const auto rows = static_cast<int64_t>(order_.size());
  batches_ = drop_last ? rows / batch_size : (rows + batch_size - 1) / batch_size;
  start();
}

BatchLoader::~BatchLoader() {
  if (pending_.valid()) pending_.wait();
}

void BatchLoader::start() {
  if (next_ >= batches_) return;
  pending_ = std::async(std::launch::async, [this, index = next_] { return load(index); });
  ++next_;
}

LabelledBatch BatchLoader::load(int64_t index) const {
  const auto first = order_.begin() + index * batch_size_;
  const auto left = static_cast<int64_t>(order_.end() - first);
  const std::vector<Draw> draws(first, first + std::min(batch_size_, left));
  const Dataset& data = source_.data();
  const auto size = static_cast<int64_t>(draws.size());
  LabelledBatch batch{source_.gather(draws), at::empty({data.targets(), size}, at::kInt)};
  auto* labels = batch.labels.mutable_data_ptr<int32_t>();
  for (int64_t target = 0; target < data.targets(); ++target) {
    for (const auto& draw : draws) {
      *labels++ = data.labels(target)[static_cast<size_t>(draw.sample)];
    }
  }
  return batch;
}

bool BatchLoader::next(LabelledBatch& batch) {
  if (!pending_.valid()) return false;
  batch = pending_.get();
  start();
  return true;
}

std::vector<Draw> sequential_order(const Dataset& data) {
  std::vector<Draw> order;
  for (int64_t sample = 0; sample < data.size(); ++sample) order.push_back({sample, 0});
  return order;
}

}  // namespace last
