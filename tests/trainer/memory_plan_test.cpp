#include "trainer/training/memory_plan.h"

#include <string>

#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "common/error.h"

namespace last {
namespace {

constexpr int64_t kMega = 1 << 20;

BackboneInfo backbone() {
  BackboneInfo info;
  info.depth = 4;
  info.dim = 64;
  info.tokens = 17;
  info.prefix_tokens = 1;
  info.has_cls_token = true;
  info.layers = {0, 1, 2, 3, 4};
  info.norm_weight = at::ones({64});
  info.norm_bias = at::zeros({64});
  return info;
}

MemoryPlan plan(const SearchSpace& space, FeatureBytes features, std::optional<int64_t> memory,
                ComputeOptions compute = {}) {
  const Target target = {.name = "label", .classes = 10, .class_names = {}};
  compute.threads = 2;
  return plan_memory(make_grid(space, 1), {target}, backbone(), 32, features, memory, compute);
}

SearchSpace networks(int64_t count) {
  SearchSpace space;
  space.ranks = {8};
  space.seeds.clear();
  for (int64_t seed = 0; seed < count; ++seed) space.seeds.push_back(seed);
  return space;
}

TEST(MemoryPlan, FeaturesAreHeldWhereTheyFitBesideTheNetworks) {
  const FeatureBytes features = {.sets = 100 * kMega, .batch = kMega};
  const auto least = plan(networks(3), features, 1000 * kMega).without_features();
  EXPECT_EQ(plan(networks(3), features, least + features.sets).residence, Residence::kMemory);
  EXPECT_EQ(plan(networks(3), features, least + features.sets - 1).residence, Residence::kDisk);
}

TEST(MemoryPlan, FeaturesStayOnAGpuWhereTheyTakeNoMoreThanHalfOfWhatIsLeft) {
  ComputeOptions gpu;
  gpu.device = c10::Device(c10::kCUDA, 0);  // planned for, not used
  const int64_t memory = 1000 * kMega;
  const auto kept = plan(networks(3), {.sets = 100 * kMega, .batch = kMega}, memory, gpu);
  EXPECT_EQ(kept.residence, Residence::kDevice);
  EXPECT_LE(kept.without_features() + kept.features, memory);
  const auto large = plan(networks(3), {.sets = 600 * kMega, .batch = kMega}, memory, gpu);
  EXPECT_EQ(large.residence, Residence::kMemory);
  // Networks come first: what the smallest step needs is not given to features.
  gpu.max_scratch_bytes = 1;
  const Target target = {.name = "label", .classes = 10, .class_names = {}};
  const auto config = bank_config(make_grid(networks(3), 1), {target}, backbone());
  const int64_t step = plan_engine(config, 32, gpu).bytes;
  const int64_t tight = kept.states * 3 / 2 + kept.batches + step * 13 / 10;
  EXPECT_EQ(plan(networks(3), {.sets = step * 6 / 10, .batch = kMega}, tight, gpu).residence,
            Residence::kMemory);
}

TEST(MemoryPlan, CountsParametersGradientsAndTwoMomentsOfEveryNetwork) {
  const auto three = plan(networks(3), {}, 1000 * kMega);
  NetworkConfig network;
  network.rank = 8;
  EXPECT_EQ(three.states, 3 * 4 * 4 * count_parameters(network, backbone(), 10));
  EXPECT_EQ(plan(networks(6), {}, 1000 * kMega).states, 2 * three.states);
}

TEST(MemoryPlan, EveryShapeIsABank) {
  SearchSpace space = networks(2);
  space.ranks = {4, 8, 16};
  space.methods = {Method::kLast, Method::kLinear};
  const auto all = plan(space, {.sets = 0, .batch = kMega}, 1000 * kMega);
  ASSERT_EQ(all.banks.size(), 4u);
  int64_t states = 0, working = 0;
  for (const auto& bank : all.banks) {
    EXPECT_EQ(bank.settings.size(), 2u);
    EXPECT_GT(bank.engine.bytes, 0);
    states += bank.states;
    working += bank.engine.bytes;
  }
  EXPECT_EQ(all.states, states);
  EXPECT_EQ(all.scratch, working);
  EXPECT_GE(all.batches, 2 * kMega);  // one is read while one is used
}

TEST(MemoryPlan, LessMemoryThanTheNetworksTakeIsAWarningWhileTheMachineHasIt) {
  testing::internal::CaptureStderr();
  const auto small = plan(networks(4), {.sets = kMega, .batch = 0}, 1);
  const auto said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(small.residence, Residence::kDisk);
  EXPECT_NE(said.find("training 4 networks at the same time takes "), std::string::npos) << said;
  EXPECT_NE(said.find("--memory"), std::string::npos) << said;
}

TEST(MemoryPlan, NetworksBeyondTheMachineAreRefusedWithWhatTheyNeed) {
  try {
    plan(networks(4), {.sets = 0, .batch = int64_t{1} << 60}, std::nullopt);
    FAIL() << "accepted";
  } catch (const Error& error) {
    const std::string what = error.what();
    EXPECT_NE(what.find("training 4 networks"), std::string::npos) << what;
    EXPECT_NE(what.find("--part I/N"), std::string::npos) << what;
  }
}

}  // namespace
}  // namespace last
