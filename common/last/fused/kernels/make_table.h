#pragma once

#include "common/last/fused/kernels/table.h"

namespace last::fused::LAST_ISA_NAMESPACE {

// This instruction set's kernels, with these two for attention.
constexpr Kernels make_table(decltype(Kernels::attention_forward) forward,
                             decltype(Kernels::attention_backward) backward) {
  return {
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
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
