#pragma once

#include <cstdint>

namespace last {

// Learning rate of epoch e = 0..epochs-1: linear warm-up from 1e-7 over the first `warmup_epochs`,
// then half a cosine from `peak` down to 1e-8.
double learning_rate_at(int64_t epoch, double peak, int64_t epochs, int64_t warmup_epochs);

}  // namespace last
