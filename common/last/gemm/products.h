#pragma once

#include <ATen/core/Tensor.h>

#include "common/last/gemm/options.h"

namespace last::gemm {

// Switches TF32 in CUDA's fp32 products on or off for its lifetime; process-wide, as torch's switch
// is. No effect on the CPU.
class TensorFloat32 {
 public:
  explicit TensorFloat32(bool allowed);
  ~TensorFloat32();
  TensorFloat32(const TensorFloat32&) = delete;
  TensorFloat32& operator=(const TensorFloat32&) = delete;

 private:
  bool before_;
};

// The two shared products with the token maps, where nearly all arithmetic is. Sums are fp32
// whatever the operands are. A row of `left` reaches only its own row of the result, so a diverged
// network can't touch its neighbours.
class Products {
 public:
  explicit Products(ProductPrecision precision) : precision_(precision) {}

  // The dtype in which token maps are kept.
  at::ScalarType operand_type() const;
  // The dtype in which `left` of token_gradient is best written.
  at::ScalarType gradient_type() const;
  // Whether fp32 operands of other products may be rounded to TF32.
  bool tensor_float32() const { return precision_ != ProductPrecision::kFp32; }

  // left [K, c, D], tokens [L, D]  ->  left tokens^T, fp32 [K, c, L]
  at::Tensor with_tokens(const at::Tensor& left, const at::Tensor& tokens) const;
  // left [K, c, L], tokens [L, D]  ->  left tokens, fp32 [K, c, D]
  at::Tensor token_gradient(const at::Tensor& left, const at::Tensor& tokens) const;

 private:
  at::Tensor multiply(const at::Tensor& left, const at::Tensor& right) const;

  ProductPrecision precision_;
};

}  // namespace last::gemm
