#pragma once

#include <algorithm>
#include <chrono>

namespace last {

inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The shortest of `repeats` calls, in seconds, after one that does not count.
template <class Call>
double best_seconds(int repeats, const Call& call) {
  call();
  double best = 1e300;
  for (int i = 0; i < repeats; ++i) {
    const double start = seconds_now();
    call();
    best = std::min(best, seconds_now() - start);
  }
  return best;
}

}  // namespace last
