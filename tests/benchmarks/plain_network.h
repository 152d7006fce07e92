#pragma once

#include "tests/common/last/fused/random_bank.h"

namespace last {

enum class PlainAttention { kSoftmax, kFused };

// One training step of network 0 as one would write it in plain torch: the whole batch per layer,
// autograd, variant D with mean-patch pooling; attention as two products and a softmax, or torch's
// scaled_dot_product_attention. Returns the loss.
double plain_step(const RandomBank& bank, PlainAttention attention);

// The same on tiles of two images, a tile to a thread, whose gradients are added up: its
// activations stay nearer to the caches.
double plain_tiled_step(const RandomBank& bank, PlainAttention attention, int threads);

}  // namespace last
