#pragma once

#include <cstdint>
#include <vector>

namespace last {

// Which rows there are and which belong together. Row r of a run shows view r % views of image
// r / views; batch b holds rows b * batch_size .. (b + 1) * batch_size - 1, whatever the shard. A
// shard is a run of whole batches, so that every shard and every resumed run computes the same
// batches as one uninterrupted run, and gets the same bits.
class RowPlan {
 public:
  // A UsageError where there are more shards than batches.
  RowPlan(int64_t images, int64_t views, int64_t batch_size, int64_t shard_index,
          int64_t shard_count);

  int64_t views() const { return views_; }
  int64_t first_row() const { return first_row_; }
  int64_t rows() const { return rows_; }  // of the shard
  int64_t batches() const { return (rows_ + batch_size_ - 1) / batch_size_; }

  // `row` counts from the shard's first row, and so do the rows of a batch.
  int64_t image_of(int64_t row) const { return (first_row_ + row) / views_; }
  int32_t view_of(int64_t row) const { return static_cast<int32_t>((first_row_ + row) % views_); }
  int64_t batch_begin(int64_t batch) const { return batch * batch_size_; }
  int64_t batch_end(int64_t batch) const;

  // The first row of each image among rows 0 .. end-1, then `end`.
  std::vector<int64_t> image_starts(int64_t end) const;

 private:
  int64_t views_;
  int64_t batch_size_;
  int64_t first_row_;
  int64_t rows_;
};

}  // namespace last
