#include "common/threads/thread_pool.h"

#include <atomic>
#include <system_error>
#include <utility>

#include "common/error.h"

namespace last {

ThreadPool::ThreadPool(int threads) {
  try {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
  } catch (const std::system_error& error) {
    stop();
    fail("can't start ", threads, " threads: ", error.code().message(), "; ask for fewer");
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  started_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void ThreadPool::run(const std::function<void(int)>& job) {
  {
    const std::lock_guard lock(mutex_);
    job_ = &job;
    running_ = static_cast<int>(workers_.size());
    ++round_;
  }
  started_.notify_all();
  call(job, 0);
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [this] { return running_ == 0; });
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::for_each(int64_t count, const std::function<void(int64_t, int)>& job) {
  std::atomic<int64_t> next{0};
  std::atomic<bool> failed{false};
  run([&](int thread) {
    try {
      for (int64_t i = next++; i < count && !failed; i = next++) job(i, thread);
    } catch (...) {
      failed = true;
      throw;
    }
  });
}

void ThreadPool::work(int index) {
  unsigned long seen = 0;
  while (true) {
    const std::function<void(int)>* job = nullptr;
    {
      std::unique_lock lock(mutex_);
      started_.wait(lock, [&] { return stop_ || round_ != seen; });
      if (stop_) return;
      seen = round_;
      job = job_;
    }
    call(*job, index);
    {
      const std::lock_guard lock(mutex_);
      --running_;
    }
    ended_.notify_one();
  }
}

void ThreadPool::call(const std::function<void(int)>& job, int index) {
  try {
    job(index);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
  }
}

}  // namespace last
