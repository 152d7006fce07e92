#include "trainer/training/optimizer.h"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

namespace last {
namespace {

// torch.optim.AdamW(lr=0.1, weight_decay=0.5) in fp64 on a parameter of 1.0 with the gradients 0.5,
// -1.0, 2.0, printed after each step; for a bias weight_decay=0.
constexpr double kWeightAfter[3] = {0.8500000019999999, 0.8441103541405653, 0.7599392749110763};
constexpr double kBiasAfter[3] = {0.900000002, 0.9366103542405654, 0.8946447927181046};

Parameters ones(int64_t networks) {
  Parameters p;
  p.head_weight = at::full({networks, 1, 1}, 1.0, at::kFloat);
  p.head_bias = at::full({networks, 1}, 1.0, at::kFloat);
  return p;
}

class StackedAdamWForm : public testing::TestWithParam<StackedAdamW::Form> {};

INSTANTIATE_TEST_SUITE_P(Forms, StackedAdamWForm,
                         testing::Values(StackedAdamW::Form::kOnePass,
                                         StackedAdamW::Form::kTensors));

TEST_P(StackedAdamWForm, EqualsTorchsAdamW) {
  auto p = ones(2);
  StackedAdamW optimizer(p, GetParam());
  const double gradients[3] = {0.5, -1.0, 2.0};
  for (int step = 0; step < 3; ++step) {
    auto g = p.zeros_like();
    g.head_weight.fill_(gradients[step]);
    g.head_bias.fill_(gradients[step]);
    // Network 1 is left out of every step.
    optimizer.step(p, g, {1, 0}, {{0.3, 0.1, 0.5}, {0.3, 0.1, 0.5}});
    EXPECT_NEAR(p.head_weight[0].item<float>(), kWeightAfter[step], 1e-6) << step;
    EXPECT_NEAR(p.head_bias[0].item<float>(), kBiasAfter[step], 1e-6) << step;
    EXPECT_EQ(p.head_weight[1].item<float>(), 1.0f);
  }
  EXPECT_EQ(optimizer.steps(), (std::vector<int64_t>{3, 0}));
}

// Networks drop out on the way, as diverged ones do: their garbage must not spread.
TEST(StackedAdamW, BothFormsAgree) {
  constexpr int64_t kNetworks = 4;
  Parameters one_pass;
  one_pass.head_weight = at::randn({kNetworks, 600, 37});  // more than one run of elements
  one_pass.head_bias = at::randn({kNetworks, 600});
  one_pass.qkv_weight = at::randn({kNetworks, 2, 5, 6});
  Parameters tensors = one_pass.clone();
  StackedAdamW first(one_pass, StackedAdamW::Form::kOnePass);
  StackedAdamW second(tensors, StackedAdamW::Form::kTensors);
  std::vector<uint8_t> active(kNetworks, 1);
  for (int step = 0; step < 10; ++step) {
    Parameters g = one_pass.zeros_like();
    for (auto& [name, tensor] : g.named()) tensor.normal_();
    if (step >= 4) {
      active[1] = 0;
      for (auto& [name, tensor] : g.named()) tensor[1].fill_(std::nan(""));
    }
    std::vector<StackedAdamW::Hyperparameters> rates;
    for (int k = 0; k < kNetworks; ++k) rates.push_back({0.01 * k, 0.02 * k, 0.1 * k});
    first.step(one_pass, g, active, rates);
    second.step(tensors, g, active, rates);
  }
  const auto a = one_pass.named(), b = tensors.named();
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_LE((a[i].second - b[i].second).abs().max().item<float>(), 2e-6) << a[i].first;
  }
}

TEST(StackedAdamW, ANetworkInABankIsTheNetworkAlone) {
  constexpr int64_t kNetworks = 5;
  Parameters bank;
  bank.head_weight = at::randn({kNetworks, 3, 37});
  bank.head_bias = at::randn({kNetworks, 3});
  Parameters alone = bank.network(3).clone();
  StackedAdamW bank_optimizer(bank);
  StackedAdamW alone_optimizer(alone);
  for (int step = 0; step < 10; ++step) {
    Parameters g = bank.clone();
    for (auto& [name, tensor] : g.named()) tensor.normal_();
    std::vector<StackedAdamW::Hyperparameters> rates;
    for (int k = 0; k < kNetworks; ++k) rates.push_back({0.01 * k, 0.02 * k, 0.1 * k});
    bank_optimizer.step(bank, g, std::vector<uint8_t>(kNetworks, 1), rates);
    alone_optimizer.step(alone, g.network(3), {1}, {rates[3]});
  }
  EXPECT_TRUE(at::equal(bank.network(3).head_weight, alone.head_weight));
  EXPECT_TRUE(at::equal(bank.network(3).head_bias, alone.head_bias));
}

TEST(StackedAdamW, ThreadsChangeNoBit) {
  Parameters one;
  one.head_weight = at::randn({3, 1000, 37});  // several runs per network, the last a short one
  one.head_bias = at::randn({3, 1000});
  Parameters many = one.clone();
  StackedAdamW one_thread(one, 1), many_threads(many, 5);
  for (int step = 0; step < 3; ++step) {
    Parameters g = one.clone();
    for (auto& [name, tensor] : g.named()) tensor.normal_();
    const std::vector<StackedAdamW::Hyperparameters> rates = {
        {0.01, 0.1, 0}, {0.02, 0.02, 1}, {0, 0.3, 3}};
    one_thread.step(one, g, {1, 0, 1}, rates);
    many_threads.step(many, g, {1, 0, 1}, rates);
  }
  EXPECT_TRUE(at::equal(one.head_weight, many.head_weight));
  EXPECT_TRUE(at::equal(one.head_bias, many.head_bias));
}

}  // namespace
}  // namespace last
