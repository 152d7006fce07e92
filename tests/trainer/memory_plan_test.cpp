#include "trainer/training/memory_plan.h"

#include <algorithm>
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
                ComputeOptions compute = {}, const SearchSpace* retrained = nullptr) {
  const Target target = {.name = "label", .classes = 10, .class_names = {}};
  compute.threads = 2;
  Retraining later;
  if (retrained != nullptr) {
    later.networks = make_grid(*retrained, 1);
    later.shapes = {later.networks.front()};
    later.most_shapes = 1;
  }
  return plan_memory(make_grid(space, 1), later, {target}, backbone(), 32, features, memory,
                     compute);
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
  const int64_t tight = kept.states * 17 / 8 + kept.batches + step * 13 / 10;
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

TEST(MemoryPlan, RetrainingIsTheLargestChoicesOfEveryTargetAndTheMembersOfEnsembles) {
  SearchSpace space = networks(1);
  space.ranks = {4, 8};
  space.methods = {Method::kLast, Method::kLinear};
  const std::vector<Target> targets = {{.name = "few", .classes = 10, .class_names = {}},
                                       {.name = "many", .classes = 100, .class_names = {}}};
  const auto settings = make_grid(space, 2);
  ASSERT_EQ(settings.size(), 6u);  // per target two ranks and a probe
  const auto count = [&](const std::vector<Setting>& list, int64_t target, Method method,
                         int64_t rank) {
    return std::count_if(list.begin(), list.end(), [&](const Setting& setting) {
      return setting.target == target && setting.network.method == method &&
             (method == Method::kLinear || setting.network.rank == rank);
    });
  };
  const auto choices = largest_retraining(settings, targets, backbone(), 5, 0);
  const auto members = largest_retraining(settings, targets, backbone(), 5, 2);
  for (const int64_t target : {0, 1}) {
    EXPECT_EQ(count(choices.networks, target, Method::kLast, 8), 5);
    EXPECT_EQ(count(choices.networks, target, Method::kLast, 4), 0);
    EXPECT_EQ(count(choices.networks, target, Method::kLinear, 0), 5);
    EXPECT_EQ(count(members.networks, target, Method::kLast, 8), 6);
    EXPECT_EQ(count(members.networks, target, Method::kLast, 4), 1);
    EXPECT_EQ(count(members.networks, target, Method::kLinear, 0), 5);
  }
  // An ensemble has no more members than there are networks.
  EXPECT_EQ(largest_retraining(settings, targets, backbone(), 5, 1000).networks.size(), 26u);
  EXPECT_EQ(choices.shapes.size(), 3u);
  EXPECT_EQ(choices.most_shapes, 4);
  EXPECT_EQ(members.most_shapes, 8);
}

// Each target may choose another shape, and each shape has working memory of its own.
TEST(MemoryPlan, RetrainingCountsTheWorkingMemoryOfAsManyShapesAsCanBeChosen) {
  SearchSpace space = networks(1);
  space.ranks = {4, 16, 32};
  const Target target = {.name = "label", .classes = 10, .class_names = {}};
  const auto scratch = [&](int64_t count) {
    const std::vector<Target> targets(static_cast<size_t>(count), target);
    ComputeOptions compute;
    const auto retrained =
        largest_retraining(make_grid(space, count), targets, backbone(), 3, /*members=*/0);
    return plan_memory({}, retrained, targets, backbone(), 32, {}, 1000 * kMega, compute).scratch;
  };
  EXPECT_LT(scratch(1), scratch(2));
  EXPECT_LT(scratch(2), scratch(3));
  // A fourth target finds no fourth shape; its networks count among those of the others.
  EXPECT_LT(scratch(4) - scratch(3), scratch(3) - scratch(2));
}

TEST(MemoryPlan, WhatIsRetrainedIsPlannedWhereItIsMoreThanTheSearch) {
  const auto search = plan(networks(3), {}, 1000 * kMega);
  const auto fewer = networks(2), more = networks(30), far_more = networks(2'000'000);
  EXPECT_EQ(plan(networks(3), {}, 1000 * kMega, {}, &fewer).states, search.states);
  const auto both = plan(networks(3), {}, 1000 * kMega, {}, &more);
  EXPECT_FALSE(search.for_retraining);
  EXPECT_TRUE(both.for_retraining);
  const auto thirty = plan(more, {}, 1000 * kMega);
  EXPECT_EQ(both.states, thirty.states);
  EXPECT_EQ(both.scratch, thirty.scratch);
  ASSERT_EQ(both.banks.size(), 1u);
  EXPECT_EQ(both.banks[0].settings.size(), 3u);
  // Where nothing is searched, the banks are those of retraining.
  SearchSpace none = networks(0);
  const auto only = plan(none, {}, 1000 * kMega, {}, &more);
  EXPECT_EQ(only.states, thirty.states);
  ASSERT_EQ(only.banks.size(), 1u);
  EXPECT_EQ(only.banks[0].settings.size(), 30u);
  try {
    plan(networks(3), {}, std::nullopt, {}, &far_more);
    FAIL() << "accepted";
  } catch (const Error& error) {
    const std::string what = error.what();
    EXPECT_NE(what.find("retraining up to 2000000 networks"), std::string::npos) << what;
    EXPECT_NE(what.find("--retrain-seeds"), std::string::npos) << what;
  }
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
