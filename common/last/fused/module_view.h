#pragma once

namespace last::fused {

// No member functions: see Shape.

// One module's parameters. Biases are nullptr where the shape has none.
struct ModuleView {
  const float* norm_weight;  // [D]
  const float* norm_bias;    // [D]
  const float* qkv_weight;   // [D, 3r]
  const float* qkv_bias;     // [3r]
  const float* up_weight;    // [r, D]
  const float* up_bias;      // [D]
  // Made of them once per batch (Kernels::prepare_module):
  const float* column_means;  // [qkv_stride]
  const float* shift;         // [qkv_stride]
  const float* up_means;      // [rank_stride]
  float up_bias_mean;
};

// Where one module's gradients are added up. qkv_weight's is that of diag(gamma) A until the end of
// the batch (Kernels::finish_module).
struct ModuleGradients {
  float* qkv_weight;
  float* up_weight;
  float* up_bias;
  float* shift;  // [qkv_stride]
};

}  // namespace last::fused
