#pragma once

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>

#include "common/last/gemm/options.h"

namespace last::gemm {

// Torch's process-wide switches, for its lifetime: TF32 in CUDA's fp32 products on or off, partial
// sums in bf16 off. No effect on the CPU.
class ProductSwitches {
 public:
  explicit ProductSwitches(bool tensor_float32);
  ~ProductSwitches();
  ProductSwitches(const ProductSwitches&) = delete;
  ProductSwitches& operator=(const ProductSwitches&) = delete;

 private:
  // Whether sums are split is left as it is.
  void set_bf16_sums(bool allowed) const;

  bool tensor_float32_before_;
  at::CuBLASReductionOption bf16_sums_before_;
};

// Products of which nearly all arithmetic consists. Sums are fp32 whatever the operands are. A row
// of `left` reaches only its own row of the result, so a diverged network can't touch its
// neighbours.
class Products {
 public:
  explicit Products(ProductPrecision precision) : precision_(precision) {}

  // The dtype in which token maps are kept.
  at::ScalarType operand_type() const;
  // The dtype in which each network's own numbers [c, L] are kept: bf16 or fp32.
  at::ScalarType own_type() const;
  // Whether fp32 operands of other products may be rounded to TF32.
  bool tensor_float32() const { return precision_ != ProductPrecision::kFp32; }

  // left fp32 [K, c, D], tokens [L, D]  ->  left tokens^T in own_type, [K, c, L]
  at::Tensor with_tokens(const at::Tensor& left, const at::Tensor& tokens) const;
  // left in own_type [K, c, L], tokens [L, D]  ->  left tokens, fp32 [K, c, D]
  at::Tensor token_gradient(const at::Tensor& left, const at::Tensor& tokens) const;
  // left fp32 [K, a, b], right in own_type [K, b, L]  ->  left right in own_type, [K, a, L]
  at::Tensor over_rows(const at::Tensor& left, const at::Tensor& right) const;
  // left in own_type [K, a, L], right in own_type [K, b, L]  ->  left right^T, fp32 [K, a, b]
  at::Tensor over_columns(const at::Tensor& left, const at::Tensor& right) const;

 private:
  at::Tensor multiply(const at::Tensor& left, const at::Tensor& right, at::ScalarType result) const;

  ProductPrecision precision_;
};

}  // namespace last::gemm
