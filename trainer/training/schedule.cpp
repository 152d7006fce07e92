#include "trainer/training/schedule.h"

#include <cmath>
#include <numbers>

namespace last {

double learning_rate_at(int64_t epoch, double peak, int64_t epochs, int64_t warmup_epochs) {
  constexpr double kStart = 1e-7;
  constexpr double kEnd = 1e-8;
  const auto e = static_cast<double>(epoch);
  const auto total = static_cast<double>(epochs);
  const auto warmup = static_cast<double>(warmup_epochs);
  if (epoch < warmup_epochs) return kStart + (peak - kStart) * e / warmup;
  const double phase = std::numbers::pi * (e - warmup) / (total - warmup);
  return kEnd + (peak - kEnd) * (1 + std::cos(phase)) / 2;
}

}  // namespace last
