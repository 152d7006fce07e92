#pragma once

#include <ATen/core/Tensor.h>

#include "common/last/engine.h"

namespace last {

// LAST as one would write it in plain torch, for K networks at once: the equations with autograd on
// [K, B, n, D], attention by scaled_dot_product_attention. Variant D with one module per block, no
// biases, mean of the patches, frozen norm.
//
// Returns the mean loss of the K networks and adds up the gradients in the parameters' grad().
//   features [B, layers, n, D]; labels int64 [K, B]; parameters: leaves that require gradients
double direct_step(const BankConfig& bank, const at::Tensor& features, const at::Tensor& labels,
                   const Parameters& parameters);

}  // namespace last
