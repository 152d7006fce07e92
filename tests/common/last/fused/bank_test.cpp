#include <cmath>
#include <limits>
#include <memory>
#include <string>

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "common/last/fused/crossed.h"
#include "common/last/fused/engine.h"
#include "common/last/fused/kernels.h"
#include "tests/common/last/fused/random_bank.h"

namespace last {
namespace {

BankShape sixteen_networks(int64_t rank = 8, int64_t heads = 2) {
  BankShape shape;
  shape.network.rank = rank;
  shape.network.heads = heads;
  shape.network.biases = true;
  shape.network.norm = FinalNorm::kTrainable;
  shape.depth = 3;
  shape.batch = 11;
  shape.unlabelled_every = 7;
  shape.classes.clear();
  for (int64_t k = 0; k < 16; ++k) {
    shape.classes.push_back(3 + 5 * k);
    shape.smoothing.push_back(0.01 * static_cast<double>(k));
  }
  return shape;
}

void expect_same_bits(const Parameters& a, const Parameters& b) {
  const auto left = a.named(), right = b.named();
  for (size_t i = 0; i < left.size(); ++i) {
    EXPECT_TRUE(at::equal(left[i].second, right[i].second)) << left[i].first;
  }
}

struct BankOptions {
  const char* name;
  bool bf16;
  NetworkConfig network;
  fused::BackwardForm form = fused::BackwardForm::kPlain;
  int64_t tokens = 37;
};

// With the best instruction set for products in fp32, or in bf16; for those the heads are wide
// enough for tiles.
class FusedBank : public testing::TestWithParam<BankOptions> {
 protected:
  void SetUp() override {
    if (GetParam().bf16 && fused::bf16_kernels() == nullptr) {
      GTEST_SKIP() << "no unit for bf16 products";
    }
  }
  static RandomBank make_bank(uint64_t seed) {
    auto shape = sixteen_networks();
    shape.network = GetParam().network;
    shape.tokens = GetParam().tokens;
    return make_random_bank(shape, seed);
  }
  static std::unique_ptr<Engine> make_engine(const RandomBank& bank, int threads) {
    const bool bf16 = GetParam().bf16;
    return make_fused_engine(bank.config, threads,
                             bf16 ? fused_bf16_instruction_set() : fused_instruction_set(),
                             GetParam().form);
  }
};

TEST_P(FusedBank, NetworkAmongOthersEqualsNetworkAloneToTheBit) {
  const RandomBank bank = make_bank(3);
  const auto all = run_step(*make_engine(bank, 2), bank);
  for (int64_t k = 0; k < 16; ++k) {
    SCOPED_TRACE(k);
    const auto index = static_cast<size_t>(k);
    const int64_t classes = bank.config.classes[index];
    RandomBank alone;
    alone.config = bank.config;
    alone.config.classes = {classes};
    alone.config.label_smoothing = {bank.config.label_smoothing[index]};
    alone.parameters = bank.parameters.network(k).clone();
    // Alone, the head has no padding.
    alone.parameters.head_weight = alone.parameters.head_weight.narrow(1, 0, classes).contiguous();
    alone.parameters.head_bias = alone.parameters.head_bias.narrow(1, 0, classes).contiguous();
    alone.features = bank.features;
    alone.labels = bank.labels.narrow(0, k, 1).contiguous();
    alone.active = {1};
    const auto one = run_step(*make_engine(alone, 1), alone);
    EXPECT_EQ(one.result.loss[0], all.result.loss[index]);
    EXPECT_EQ(one.result.correct[0], all.result.correct[index]);
    EXPECT_TRUE(at::equal(one.logits[0], all.logits[k].narrow(1, 0, classes)));
    auto gradients = all.gradients.network(k).clone();
    gradients.head_weight = gradients.head_weight.narrow(1, 0, classes);
    gradients.head_bias = gradients.head_bias.narrow(1, 0, classes);
    expect_same_bits(one.gradients, gradients);
  }
}

TEST_P(FusedBank, NumberOfThreadsChangesNoBit) {
  const RandomBank bank = make_bank(4);
  const auto expected = run_step(*make_engine(bank, 1), bank);
  for (const int threads : {2, 3, 8, 17}) {
    SCOPED_TRACE(threads);
    const auto found = run_step(*make_engine(bank, threads), bank);
    EXPECT_EQ(found.result.loss, expected.result.loss);
    EXPECT_TRUE(at::equal(found.logits, expected.logits));
    expect_same_bits(found.gradients, expected.gradients);
  }
}

TEST_P(FusedBank, SecondStepStartsAfresh) {
  const RandomBank bank = make_bank(5);
  const auto engine = make_engine(bank, 2);
  const auto first = run_step(*engine, bank);
  expect_same_bits(run_step(*engine, bank).gradients, first.gradients);
}

// Nothing of a network that is no longer finite is left in the memory that all share.
TEST_P(FusedBank, DivergedNetworkChangesNoBitOfItsNeighbours) {
  const RandomBank bank = make_bank(8);
  const auto expected = run_step(*make_engine(bank, 2), bank);
  for (const double bad : {HUGE_VAL, std::numeric_limits<double>::quiet_NaN()}) {
    RandomBank diverged = bank;
    diverged.parameters = bank.parameters.clone();
    diverged.parameters.head_weight[5].fill_(bad);
    if (diverged.parameters.up_weight.defined()) diverged.parameters.up_weight[5].fill_(bad);
    const auto engine = make_engine(diverged, 2);
    run_step(*engine, diverged);
    const auto found = run_step(*engine, diverged);
    for (int64_t k = 0; k < 16; ++k) {
      if (k == 5) continue;
      SCOPED_TRACE(k);
      EXPECT_EQ(found.result.loss[static_cast<size_t>(k)],
                expected.result.loss[static_cast<size_t>(k)]);
      expect_same_bits(found.gradients.network(k), expected.gradients.network(k));
    }
  }
}

TEST(FusedBf16, PredictionsAreThoseOfFp32) {
  if (fused::bf16_kernels() == nullptr) GTEST_SKIP() << "no unit for bf16 products";
  const RandomBank bank = make_random_bank(sixteen_networks(12, 1), 7);
  const auto exact =
      make_fused_engine(bank.config, 2)->logits(bank.features, bank.active, bank.parameters);
  const auto engine = make_fused_engine(bank.config, 2, fused_bf16_instruction_set());
  Parameters gradients = bank.parameters.zeros_like();
  engine->forward_backward(bank.features, bank.labels, bank.active, bank.parameters, gradients);
  EXPECT_TRUE(at::equal(engine->logits(bank.features, bank.active, bank.parameters), exact));
}

std::vector<BankOptions> bank_options() {
  NetworkConfig rich;  // biases and a trainable norm
  rich.rank = 8;
  rich.heads = 2;
  rich.biases = true;
  rich.norm = FinalNorm::kTrainable;
  NetworkConfig cls;
  cls.rank = 8;
  cls.pool = Pool::kCls;
  NetworkConfig deep;  // several modules per block, the other variant
  deep.rank = 20;
  deep.heads = 4;
  deep.modules = 2;
  deep.variant = Variant::kC;
  NetworkConfig linear;
  linear.method = Method::kLinear;
  NetworkConfig wide_head = rich;
  wide_head.rank = 12;
  wide_head.heads = 1;
  NetworkConfig mean = wide_head;
  mean.rank = 16;
  mean.pool = Pool::kMeanAll;
  NetworkConfig full = rich;  // with the bias, one row more than a vector of A_up's
  full.rank = 16;
  constexpr auto kCrossed = fused::BackwardForm::kCrossed;
  return {{"Fp32", false, rich},
          {"Fp32Cls", false, cls},
          {"Fp32SeveralModules", false, deep},
          {"Fp32Linear", false, linear},
          {"Fp32Crossed", false, rich, kCrossed},
          {"Fp32CrossedCls", false, cls, kCrossed},
          {"Fp32CrossedSeveralModules", false, deep, kCrossed},
          {"Fp32CrossedRank16", false, full, kCrossed},
          {"Fp32Half", false, full, fused::BackwardForm::kHalf},
          {"Fp32HalfSeveralModules", false, deep, fused::BackwardForm::kHalf},
          // Vectors of keys reach beyond the last group of four rows.
          {"Fp32FiftyTokens", false, rich, fused::BackwardForm::kPlain, 50},
          {"Fp32CrossedFiftyTokens", false, wide_head, kCrossed, 50},
          {"Bf16", true, wide_head},
          {"Bf16Mean", true, mean}};
}

INSTANTIATE_TEST_SUITE_P(Fused, FusedBank, testing::ValuesIn(bank_options()),
                         [](const auto& test) { return std::string(test.param.name); });

BackboneInfo vit(int64_t dim, int64_t depth) {
  BackboneInfo backbone;
  backbone.depth = depth;
  backbone.dim = dim;
  backbone.tokens = 197;
  backbone.prefix_tokens = 1;
  backbone.has_cls_token = true;
  for (int64_t i = 0; i <= depth; ++i) backbone.layers.push_back(i);
  return backbone;
}

TEST(FusedEngine, WorkingMemoryAtViTBStaysBelow16MB) {
  EXPECT_LE(fused_bytes_per_thread({.rank = 16, .heads = 2}, vit(768, 12)), 16 << 20);
}

TEST(FusedEngine, MemoryPerNetworkIsInThePlan) {
  BankConfig one;
  one.backbone = vit(768, 12);
  one.network.rank = 16;
  one.classes = {100};
  BankConfig two = one;
  two.classes = {100, 100};
  const int64_t images = 32 * (768 + 100) * 4;
  const int64_t added = fused_bytes(two, 32, 2) - fused_bytes(one, 32, 2) - images;
  // Wc^T A^T of all pairs and A A^T of all modules but the last; T and S of pairs and modules
  EXPECT_EQ(added, 4 * (66 * 48 * 16 + 11 * 11 * 16 * 16 + 78 * 16 * (48 + 16)));
  EXPECT_EQ(fused_bytes(two, 32, 2, fused::BackwardForm::kPlain) -
                fused_bytes(one, 32, 2, fused::BackwardForm::kPlain),
            images);
}

TEST(FusedEngine, CrossedFormIsTakenWhereRanksAddUpToLittle) {
  const auto crossed = [](int64_t rank, int dim, int modules) {
    return fused::best_crossed_modules({.rank = rank}, modules, 197, dim);
  };
  EXPECT_EQ(crossed(16, 768, 12), 12);
  EXPECT_EQ(crossed(4, 192, 12), 12);
  EXPECT_EQ(crossed(16, 768, 1), 0);
  EXPECT_EQ(crossed(64, 48, 12), 0);
  // The largest 8 r D c - 1.1 * 9 r^2 c^2, about
  EXPECT_NEAR(crossed(16, 192, 12), 8 * 192 / (1.1 * 18 * 16), 1);
  EXPECT_NEAR(crossed(64, 768, 12), 8 * 768 / (1.1 * 18 * 64), 1);
}

TEST(FusedEngine, RefusesWhatDoesNotFit) {
  const RandomBank bank = make_random_bank(sixteen_networks(), 6);
  const auto engine = make_fused_engine(bank.config, 1);
  Parameters gradients = bank.parameters.zeros_like();
  EXPECT_THROW(engine->forward_backward(bank.features.narrow(3, 0, 64), bank.labels, bank.active,
                                        bank.parameters, gradients),
               Error);
  EXPECT_THROW(engine->forward_backward(bank.features.to(at::kDouble), bank.labels, bank.active,
                                        bank.parameters, gradients),
               Error);
  EXPECT_THROW(engine->forward_backward(bank.features, bank.labels.to(at::kLong), bank.active,
                                        bank.parameters, gradients),
               Error);
  at::Tensor beyond = bank.labels.clone();
  beyond.fill_(50);
  EXPECT_THROW(
      engine->forward_backward(bank.features, beyond, bank.active, bank.parameters, gradients),
      Error);
  auto config = bank.config;
  config.network.rank = 65;
  config.network.heads = 1;
  EXPECT_THROW(make_fused_engine(config, 1), UsageError);
}

}  // namespace
}  // namespace last
