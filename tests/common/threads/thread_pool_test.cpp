#include "common/threads/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

namespace last {
namespace {

TEST(ThreadPool, RunsTheJobOnEveryThread) {
  ThreadPool pool(4);
  EXPECT_EQ(pool.size(), 4);
  std::vector<std::atomic<int>> calls(4);
  for (int round = 0; round < 3; ++round) pool.run([&](int thread) { ++calls[thread]; });
  for (const auto& count : calls) EXPECT_EQ(count, 3);
}

TEST(ThreadPool, ForEachTakesEveryIndexOnce) {
  for (const int threads : {0, 1, 3}) {
    ThreadPool pool(threads);
    std::vector<std::atomic<int>> calls(1000);
    pool.for_each(1000, [&](int64_t i, int thread) {
      EXPECT_TRUE(thread >= 0 && thread < pool.size());
      ++calls[static_cast<size_t>(i)];
    });
    EXPECT_TRUE(std::ranges::all_of(calls, [](const auto& count) { return count == 1; }));
    pool.for_each(0, [](int64_t, int) { FAIL(); });
  }
}

TEST(ThreadPool, ForEachBeginsNothingAfterAnException) {
  ThreadPool pool(2);
  std::atomic<int64_t> begun{0};
  EXPECT_THROW(pool.for_each(1'000'000,
                             [&](int64_t, int) {
                               ++begun;
                               throw std::runtime_error("no");
                             }),
               std::runtime_error);
  EXPECT_LE(begun, 2);
  std::atomic<int> calls{0};
  pool.for_each(10, [&](int64_t, int) { ++calls; });  // goes on as ever
  EXPECT_EQ(calls, 10);
}

}  // namespace
}  // namespace last
