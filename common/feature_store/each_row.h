#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace last {

// Told how many of `total` rows that are stored already were read again, for a check or a sum. It
// may throw, which ends the work.
using RowProgress = std::function<void(int64_t done, int64_t total)>;

// Calls job(i, buffer) for i = 0 .. count-1 on several threads, and `progress`, where there is one,
// on the calling thread. Rows are taken in blocks: a call begins when all of earlier blocks have
// ended. `buffer` is working memory of the thread.
void for_each_row(int64_t count, int64_t block,
                  const std::function<void(int64_t, std::vector<char>&)>& job,
                  const RowProgress& progress);

}  // namespace last
