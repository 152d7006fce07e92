#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

namespace last::fused {

// Turns at places where several threads add something in a fixed order: turn t at a place begins
// when turn t-1 there has ended.
class Tickets {
 public:
  explicit Tickets(size_t places) : turns_(places) {}

  void wait(size_t place, int turn) const;
  void end_turn(size_t place, int turn) {
    turns_[place].store(turn + 1, std::memory_order_release);
  }

 private:
  std::vector<std::atomic<int>> turns_;
};

}  // namespace last::fused
