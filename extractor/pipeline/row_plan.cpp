#include "extractor/pipeline/row_plan.h"

#include <algorithm>

#include "common/error.h"

namespace last {

RowPlan::RowPlan(int64_t images, int64_t views, int64_t batch_size, int64_t shard_index,
                 int64_t shard_count)
    : views_(views), batch_size_(batch_size) {
  const int64_t all_rows = images * views;
  const int64_t all_batches = (all_rows + batch_size - 1) / batch_size;
  if (shard_count > all_batches) {
    fail_usage("--shard: ", shard_count, " shards of ", all_rows, " rows, but there are only ",
               all_batches, " batches of ", batch_size, "; use fewer shards");
  }
  first_row_ = shard_index * all_batches / shard_count * batch_size;
  const int64_t end = (shard_index + 1) * all_batches / shard_count * batch_size;
  rows_ = std::min(end, all_rows) - first_row_;
}

int64_t RowPlan::batch_end(int64_t batch) const {
  return std::min((batch + 1) * batch_size_, rows_);
}

std::vector<int64_t> RowPlan::image_starts(int64_t end) const {
  std::vector<int64_t> starts;
  for (int64_t row = 0; row < end; ++row) {
    if (row == 0 || image_of(row) != image_of(row - 1)) starts.push_back(row);
  }
  starts.push_back(end);
  return starts;
}

}  // namespace last
