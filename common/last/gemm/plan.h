#pragma once

#include <cstdint>

#include "common/last/engine.h"
#include "common/last/gemm/options.h"

namespace last {

// How the GEMM engine cuts up a step, and what it allocates for that. The bytes are those of
// tensors alive at the same time; an allocator that keeps freed blocks adds its own share.
struct GemmPlan {
  int64_t networks = 1;  // of a chunk
  int64_t images = 1;    // of a chunk
  int64_t bytes = 0;     // scratch memory, as GemmOptions::max_bytes counts it
};

// Scratch memory for `networks` networks and `images` images at a time: an upper bound, seldom more
// than a third above what is used.
int64_t gemm_bytes(const BankConfig& config, int64_t networks, int64_t images,
                   const GemmOptions& options);

// As many networks at a time as options.max_bytes allows for the whole batch, in even chunks; where
// not even one fits, one network and fewer images. The last resort is one network and one image,
// whose `bytes` may be above the limit.
GemmPlan plan_gemm(const BankConfig& config, int64_t images, const GemmOptions& options);

}  // namespace last
