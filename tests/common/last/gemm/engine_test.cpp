#include "common/last/gemm/engine.h"

#include <gtest/gtest.h>

#include "common/error.h"
#include "tests/common/last/bank_case.h"

namespace last {
namespace {

TEST(GemmEngine, FusedAttentionGivesTheSame) {
  for (const BankCase& bank : bank_cases()) {
    SCOPED_TRACE(bank.name);
    const auto engine =
        make_gemm_engine(bank.config(), c10::kCPU, {.attention = AttentionKernel::kFused});
    const auto step = run(*engine, bank, bank.all_active(), bank.parameters());
    expect_close(step, run_reference(bank, bank.all_active()), 1e-5);
  }
}

TEST(GemmEngine, LeavesInactiveNetworksAlone) {
  BankCase bank = bank_cases().front();
  bank.classes = {5, 3, 7, 2, 4};
  bank.smoothing = {0, 0.1, 0.3, 0, 0};
  const std::vector<uint8_t> active = {1, 0, 1, 1, 0};
  const auto engine = make_gemm_engine(bank.config(), c10::kCPU);
  auto parameters = bank.parameters();
  const auto reference = run_reference(bank, active);
  // What a diverged network holds must not matter.
  parameters.qkv_weight[1].fill_(std::numeric_limits<double>::quiet_NaN());
  parameters.head_weight[4].fill_(std::numeric_limits<double>::infinity());
  const auto step = run(*engine, bank, active, parameters);
  expect_close(step, reference, 1e-5);
  for (const auto& [name, gradient] : step.gradients.named()) {
    EXPECT_TRUE(gradient[1].eq(77).all().item<bool>()) << name;
    EXPECT_TRUE(gradient[4].eq(77).all().item<bool>()) << name;
  }
}

TEST(GemmEngine, DivergedNetworkDoesNotReachItsNeighbours) {
  for (const auto precision :
       {ProductPrecision::kFp32, ProductPrecision::kBf16, ProductPrecision::kFp16}) {
    for (const auto attention : {AttentionKernel::kProducts, AttentionKernel::kFused}) {
      const BankCase bank = bank_cases().front();
      const auto engine = make_gemm_engine(bank.config(), c10::kCPU,
                                           {.products = precision, .attention = attention});
      auto parameters = bank.parameters();
      const auto alone = run(*engine, bank, {1, 0, 1}, parameters);
      parameters.qkv_weight[1].fill_(1e30);
      parameters.up_weight[1].fill_(std::numeric_limits<double>::quiet_NaN());
      const auto step = run(*engine, bank, bank.all_active(), parameters);
      EXPECT_TRUE(std::isnan(step.result.loss[1]));
      for (const int64_t k : {0, 2}) {
        const auto a = step.gradients.network(k).named(), b = alone.gradients.network(k).named();
        for (size_t i = 0; i < a.size(); ++i) {
          EXPECT_LE(relative_difference(a[i].second, b[i].second), 1e-6) << a[i].first;
        }
      }
    }
  }
}

TEST(GemmEngine, StartsAtTheFrozenBackboneWithZeroGradientsOfQkv) {
  const BankCase bank = bank_cases().front();
  auto parameters = bank.parameters();
  parameters.up_weight.zero_();
  const auto engine = make_gemm_engine(bank.config(), c10::kCPU);
  const auto step = run(*engine, bank, bank.all_active(), parameters);
  EXPECT_EQ(step.gradients.qkv_weight.abs().max().item<double>(), 0);
  EXPECT_GT(step.gradients.up_weight.abs().max().item<double>(), 0);
}

TEST(GemmEngine, NamesWhatDoesNotFit) {
  const BankCase bank = bank_cases().front();
  const auto engine = make_gemm_engine(bank.config(), c10::kCPU);
  const auto parameters = bank.parameters();
  auto gradients = parameters.zeros_like();
  auto labels = bank.labels();
  labels[1][0].fill_(3);  // network 1 has 3 classes
  EXPECT_THROW(
      engine->forward_backward(bank.features(), labels, bank.all_active(), parameters, gradients),
      Error);
  EXPECT_THROW(engine->logits(bank.features().narrow(2, 0, 4), bank.all_active(), parameters),
               Error);
  EXPECT_THROW(engine->logits(bank.features(), {1, 1}, parameters), Error);
}

}  // namespace
}  // namespace last
