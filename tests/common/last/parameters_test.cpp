#include "common/last/parameters.h"

#include <cmath>

#include <ATen/ops/abs.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

namespace last {
namespace {

BackboneInfo vit_base() {
  BackboneInfo b;
  b.depth = 12;
  b.dim = 768;
  b.tokens = 197;
  b.prefix_tokens = 1;
  b.has_cls_token = true;
  for (int64_t layer = 0; layer <= 12; ++layer) b.layers.push_back(layer);
  return b;
}

// The counts of the method's description, for ViT-B/16, r = 16, g = 1, T = 1.
TEST(Parameters, CountsOfViTBase) {
  const BackboneInfo backbone = vit_base();
  NetworkConfig config;
  EXPECT_EQ(count_parameters_without_head(config, backbone), 608256);
  config.variant = Variant::kC;
  EXPECT_EQ(count_parameters_without_head(config, backbone), 658944);
  config.method = Method::kLinear;
  EXPECT_EQ(count_parameters_without_head(config, backbone), 0);
  EXPECT_EQ(count_parameters(config, backbone, 10), 10 * 769);
}

TEST(Parameters, CountsAreThoseOfTheTensors) {
  BackboneInfo backbone = vit_base();
  backbone.dim = 24;
  NetworkConfig config;
  config.rank = 4;
  config.gap = 2;
  config.modules = 2;
  config.biases = true;
  config.norm = FinalNorm::kTrainable;
  int64_t elements = 0;
  for (const auto& [name, tensor] : make_parameters(1, config, backbone, 5).named()) {
    elements += tensor.numel();
  }
  EXPECT_EQ(count_parameters(config, backbone, 5), elements);
}

TEST(InitializeNetwork, DependsOnItsOwnSeedOnly) {
  const BackboneInfo backbone = vit_base();
  NetworkConfig config;
  config.rank = 4;
  auto bank = make_parameters(3, config, backbone, 10);
  for (int64_t k = 0; k < 3; ++k) {
    initialize_network(bank, k, config, backbone, k == 1 ? 4 : 10, static_cast<uint64_t>(k));
  }
  auto alone = make_parameters(1, config, backbone, 4);
  initialize_network(alone, 0, config, backbone, 4, 1);
  EXPECT_TRUE(at::equal(bank.network(1).qkv_weight, alone.qkv_weight));
  EXPECT_TRUE(at::equal(bank.network(1).head_weight.narrow(1, 0, 4), alone.head_weight));
  EXPECT_EQ(at::abs(bank.network(1).head_weight.narrow(1, 4, 6)).max().item<float>(), 0);
  EXPECT_FALSE(at::equal(bank.network(0).qkv_weight, bank.network(2).qkv_weight));
}

TEST(InitializeNetwork, StartsAtTheFrozenBackbone) {
  const BackboneInfo backbone = vit_base();
  const NetworkConfig config;
  auto p = make_parameters(1, config, backbone, 100);
  initialize_network(p, 0, config, backbone, 100, 7);
  EXPECT_EQ(at::abs(p.up_weight).max().item<float>(), 0);
  EXPECT_EQ(p.norm_weight.min().item<float>(), 1);
  const double bound = 1 / std::sqrt(768.0);
  const double largest = at::abs(p.qkv_weight).max().item<double>();
  EXPECT_LE(largest, bound * 1.000001);
  EXPECT_GT(largest, bound * 0.999);
  EXPECT_NEAR(p.head_weight.std().item<double>(), 0.02, 0.0005);
}

}  // namespace
}  // namespace last
