#include "common/feature_store/each_row.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "common/threads/thread_pool.h"

namespace last {

void for_each_row(int64_t count, int64_t block,
                  const std::function<void(int64_t, std::vector<char>&)>& job,
                  const RowProgress& progress) {
  ThreadPool pool(static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1U, 16U)));
  std::vector<std::vector<char>> buffers(static_cast<size_t>(pool.size()));
  for (int64_t begin = 0; begin < count; begin += block) {
    const int64_t end = std::min(begin + block, count);
    std::atomic<int64_t> done{begin};
    pool.for_each(end - begin, [&](int64_t i, int thread) {
      job(begin + i, buffers[static_cast<size_t>(thread)]);
      const int64_t rows = ++done;
      if (thread == 0 && progress && rows < end) progress(rows, count);
    });
    if (progress) progress(end, count);
  }
}

}  // namespace last
