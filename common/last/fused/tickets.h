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

// An image's turn to add to the gradients of one network.
struct Turn {
  Tickets& tickets;
  size_t first_place;  // of the network's places: a module's strips, ..., the last module's branch,
                       // pairs of modules, the final norm
  int turn;            // images of the batch that were added before

  bool overwrites() const { return turn == 0; }

  // Calls add() when it is this image's turn at the place.
  template <class Add>
  void take(size_t place, const Add& add) const {
    tickets.wait(first_place + place, turn);
    add();
    tickets.end_turn(first_place + place, turn);
  }
};

}  // namespace last::fused
