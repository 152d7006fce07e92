#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace last {

// Threads that stay alive between calls of run(). One thread may call run() at a time.
class ThreadPool {
 public:
  // `threads` in all, the calling one among them; below 1 counts as 1. An Error where the system
  // gives fewer.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls job(i) for i = 0 .. size()-1, all at the same time (0 on the calling thread), and returns
  // when the last has ended. Of the exceptions that jobs threw, the first is thrown again.
  void run(const std::function<void(int)>& job);

  // Calls job(i, thread) for i = 0 .. count-1, in about that order; the threads share them as they
  // have time. After an exception, which is thrown again, no further one is begun.
  void for_each(int64_t count, const std::function<void(int64_t, int)>& job);

 private:
  void work(int index);
  void stop();
  void call(const std::function<void(int)>& job, int index);

  std::mutex mutex_;
  std::condition_variable started_, ended_;
  const std::function<void(int)>* job_ = nullptr;  // of the round
  unsigned long round_ = 0;
  int running_ = 0;
  bool stop_ = false;
  std::exception_ptr error_;
  std::vector<std::thread> workers_;
};

}  // namespace last
