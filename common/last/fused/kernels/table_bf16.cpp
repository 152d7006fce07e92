#include "common/last/fused/kernels/attention_bf16.h"
#include "common/last/fused/kernels/make_table.h"

namespace last::fused::LAST_ISA_NAMESPACE {

namespace {

// The tiles' inner axis is 32 deep: heads this narrow are faster without them.
constexpr int kNarrowHead = 8;

void forward(const Shape& shape, const AttentionForward& a) {
  if (shape.head_dim <= kNarrowHead) return attention_forward(shape, a);
  attention_forward_bf16(shape, a);
}

void backward(const Shape& shape, const AttentionBackward& a) {
  if (shape.head_dim <= kNarrowHead) return attention_backward(shape, a);
  attention_backward_bf16(shape, a);
}

}  // namespace

extern const Kernels kTable;
constinit const Kernels kTable = make_table(forward, backward);

}  // namespace last::fused::LAST_ISA_NAMESPACE
