#include <ATen/Context.h>
#include <gtest/gtest.h>

#include "common/last/gemm/engine.h"
#include "tests/common/last/bank_case.h"

namespace last {
namespace {

BankCase deep_bank() {
  BankCase bank = bank_cases().front();
  bank.depth = 12;
  bank.dim = 192;
  bank.grid = 7;
  bank.network.rank = 16;
  return bank;
}

// fp16 has 11 binary digits, bf16 has 8.
TEST(GemmPrecision, HalfProductsStayNearTheReference) {
  const BankCase bank = deep_bank();
  const auto reference = run_reference(bank, bank.all_active());
  for (const auto attention : {AttentionKernel::kProducts, AttentionKernel::kFused}) {
    const auto step_with = [&](ProductPrecision precision) {
      const auto engine = make_gemm_engine(bank.config(), c10::kCPU,
                                           {.products = precision, .attention = attention});
      return run(*engine, bank, bank.all_active(), bank.parameters());
    };
    const auto fp16 = step_with(ProductPrecision::kFp16), bf16 = step_with(ProductPrecision::kBf16);
    expect_close(fp16, reference, 4e-3);
    expect_close(bf16, reference, 3e-2);
    // ... and are not fp32 by mistake.
    const auto& exact = reference.gradients.qkv_weight;
    EXPECT_GT(relative_difference(fp16.gradients.qkv_weight, exact), 2e-5);
    EXPECT_GT(relative_difference(bf16.gradients.qkv_weight, exact), 2e-4);
  }
}

TEST(GemmPrecision, PredictionsAreFp32WhateverTrainingIs) {
  const BankCase bank = deep_bank();
  const auto logits = [&](const GemmOptions& options) {
    return make_gemm_engine(bank.config(), c10::kCPU, options)
        ->logits(bank.features(), bank.all_active(), bank.parameters());
  };
  const auto exact = logits({});
  for (const auto precision : {ProductPrecision::kFp16, ProductPrecision::kBf16}) {
    EXPECT_TRUE(logits({.products = precision, .attention = AttentionKernel::kFused}).equal(exact));
  }
}

// Gradients of fp16 products would vanish below 6e-8 without scaling.
TEST(GemmPrecision, Fp16ProductsKeepSmallGradients) {
  const BankCase bank = deep_bank();
  auto parameters = bank.parameters();
  parameters.head_weight.mul_(1e-6);
  const auto gradients = [&](ProductPrecision precision) {
    const auto engine = make_gemm_engine(bank.config(), c10::kCPU, {.products = precision});
    return run(*engine, bank, bank.all_active(), parameters).gradients.qkv_weight;
  };
  EXPECT_LE(
      relative_difference(gradients(ProductPrecision::kFp16), gradients(ProductPrecision::kFp32)),
      4e-3);
}

TEST(GemmPrecision, RestoresTorchsSwitches) {
  const BankCase bank = bank_cases().front();
  auto& context = at::globalContext();
  const bool before = context.allowTF32CuBLAS();
  for (const bool allowed : {true, false}) {
    context.setAllowTF32CuBLAS(allowed);
    const auto bf16_sums = context.allowBF16ReductionCuBLAS();
    const auto engine =
        make_gemm_engine(bank.config(), c10::kCPU, {.products = ProductPrecision::kTf32});
    run(*engine, bank, bank.all_active(), bank.parameters());
    EXPECT_EQ(context.allowTF32CuBLAS(), allowed);
    EXPECT_EQ(context.allowBF16ReductionCuBLAS(), bf16_sums);
    EXPECT_EQ(bf16_sums, at::CuBLASReductionOption::AllowReducedPrecisionWithSplitK);
  }
  context.setAllowTF32CuBLAS(before);
}

}  // namespace
}  // namespace last
