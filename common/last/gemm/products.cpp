#include "common/last/gemm/products.h"

#include <ATen/ops/bmm.h>
#include <ATen/ops/mm.h>

namespace last::gemm {
namespace {

constexpr double kLargestScaled = 8192;  // an eighth of the largest fp16 number

// Powers of two [rows, 1] that bring each row's largest magnitude just below kLargestScaled: exact,
// and found without the host. Rows of zeros are left as they are; rows that aren't finite stay so.
at::Tensor row_scale(const at::Tensor& left) {
  const auto largest = left.abs().amax(1, true);
  const auto scale = largest.reciprocal().mul_(kLargestScaled).log2_().floor_().exp2_();
  return scale.masked_fill_(scale.isfinite().logical_not_(), 1);
}

}  // namespace

ProductSwitches::ProductSwitches(bool tensor_float32)
    : tensor_float32_before_(at::globalContext().allowTF32CuBLAS()),
      bf16_sums_before_(at::globalContext().allowBF16ReductionCuBLAS()) {
  at::globalContext().setAllowTF32CuBLAS(tensor_float32);
  set_bf16_sums(false);
}

ProductSwitches::~ProductSwitches() {
  at::globalContext().setAllowTF32CuBLAS(tensor_float32_before_);
  set_bf16_sums(bf16_sums_before_ == at::CuBLASReductionOption::AllowReducedPrecisionWithSplitK);
}

void ProductSwitches::set_bf16_sums(bool allowed) const {
  at::globalContext().setAllowBF16ReductionCuBLAS(
      allowed,
      bf16_sums_before_ != at::CuBLASReductionOption::DisallowReducedPrecisionDisallowSplitK);
}

at::ScalarType Products::operand_type() const {
  switch (precision_) {
    case ProductPrecision::kBf16:
      return at::kBFloat16;
    case ProductPrecision::kFp16:
      return at::kHalf;
    default:
      return at::kFloat;
  }
}

at::ScalarType Products::own_type() const {
  return precision_ == ProductPrecision::kBf16 ? at::kBFloat16 : at::kFloat;
}

at::Tensor Products::multiply(const at::Tensor& left, const at::Tensor& right,
                              at::ScalarType result) const {
  const auto type = operand_type();
  if (type == at::kFloat) return left.mm(right);
  if (precision_ == ProductPrecision::kFp16) {
    const auto scale = row_scale(left);
    const auto scaled = left.mul(scale).to(type);
    auto product = left.is_cpu() ? scaled.to(at::kFloat).mm(right.to(at::kFloat))
                                 : at::mm(scaled, right, at::kFloat);
    return product.div_(scale);
  }
  const auto rounded = left.to(type);
  if (left.is_cpu()) return rounded.to(at::kFloat).mm(right.to(at::kFloat)).to(result);
  return result == type ? at::mm(rounded, right) : at::mm(rounded, right, result);
}

at::Tensor Products::with_tokens(const at::Tensor& left, const at::Tensor& tokens) const {
  return multiply(left.flatten(0, 1), tokens.t(), own_type())
      .view({left.size(0), left.size(1), -1});
}

at::Tensor Products::token_gradient(const at::Tensor& left, const at::Tensor& tokens) const {
  return multiply(left.flatten(0, 1), tokens, at::kFloat).view({left.size(0), left.size(1), -1});
}

at::Tensor Products::over_rows(const at::Tensor& left, const at::Tensor& right) const {
  return left.to(own_type()).bmm(right);
}

at::Tensor Products::over_columns(const at::Tensor& left, const at::Tensor& right) const {
  const auto transposed = right.transpose(1, 2);
  if (left.scalar_type() == at::kFloat) return left.bmm(transposed);
  if (left.is_cpu()) return left.to(at::kFloat).bmm(transposed.to(at::kFloat));
  return at::bmm(left, transposed, at::kFloat);
}

}  // namespace last::gemm
