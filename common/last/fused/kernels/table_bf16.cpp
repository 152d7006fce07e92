#include "common/last/fused/kernels/attention_bf16.h"
#include "common/last/fused/kernels/table.h"

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
const Kernels kTable = {
    LAST_ISA_NAME,      add_map,
    pool_map,           pool_tile,
    prepare_module,     forward_strip,
    normalize,          forward,
    advance_means,      backward,
    normalize_backward, backward_strip,
    cross_qkv,          cross_up,
    scale_rows,         cross_tokens,
    add_crossed,        add_crossed_gradients,
    add_block,          pool_attended,
    add_pooled_branch,  pooled_backward,
    add_outer,          head_logits,
    head_backward,      head_weight_gradient,
    finish_module,
};

}  // namespace last::fused::LAST_ISA_NAMESPACE
