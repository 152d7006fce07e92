#pragma once

#include "common/last/fused/kernels.h"
#include "common/last/fused/kernels/tiles.h"
#include "common/last/fused/kernels/transpose.h"
#include "common/last/fused/shape.h"

// Attention with bf16 products, and what its two directions share.
namespace last::fused::LAST_ISA_NAMESPACE {

void attention_forward_bf16(const Shape&, const AttentionForward&);
void attention_backward_bf16(const Shape&, const AttentionBackward&);

// Sizes of one head's matrices in tiles.
struct HeadSizes {
  explicit HeadSizes(const Shape& shape)
      : tokens(round_up(shape.tokens, 32)),
        channels(round_up(shape.head_dim, 16)),
        depth(round_up(shape.head_dim, 32)) {}

  int tokens;    // n, as an inner axis
  int channels;  // r / h, as an outer axis
  int depth;     // r / h, as an inner axis
};

// Hands out a kernel's scratch memory.
class Scratch {
 public:
  explicit Scratch(float* memory) : next_(memory) {}

  float* floats(long count) {
    float* p = next_;
    next_ += (count + 15) / 16 * 16;
    return p;
  }
  uint16_t* halves(long count) { return reinterpret_cast<uint16_t*>(floats((count + 1) / 2)); }

 private:
  float* next_;
};

// One head's rows [n, head_dim] in bf16 [tokens, depth], zero in the padding.
inline void head_rows(const Shape& shape, const HeadSizes& sizes, const float* in, int in_stride,
                      int rows, uint16_t* out) {
  for (int t = 0; t < sizes.tokens; ++t) {
    const float* x = in + static_cast<long>(t) * in_stride;
    for (int c = 0; c < sizes.depth; c += 32) {
      const int count = t < rows ? shape.head_dim - c : 0;
      _mm512_storeu_si512(out + static_cast<long>(t) * sizes.depth + c,
                          to_bfloat16(load_part(x + c, count), load_part(x + c + 16, count - 16)));
    }
  }
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
