#include "extractor/evaluate/network_set.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <gtest/gtest.h>

#include "tests/common/last/example_network.h"
#include "tests/extractor/evaluate/example_bundle.h"

namespace last {
namespace {

constexpr int64_t kImages = 6;
const c10::Device kCpu(c10::kCPU);

NetworkConfig shape(int64_t rank, int64_t gap, Pool pool = Pool::kMeanPatch,
                    FinalNorm norm = FinalNorm::kFrozen, Method method = Method::kLast) {
  NetworkConfig config;
  config.method = method;
  config.rank = rank;
  config.gap = gap;
  config.pool = pool;
  config.norm = norm;
  return config;
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

struct Set : ::testing::Test {
  // All maps of some images: [images, layers, tokens, channels].
  at::Tensor features = at::randn({kImages, 3, 5, 16});
  BackboneInfo backbone = example_network(FinalNorm::kFrozen).backbone;

  std::vector<at::Tensor> probabilities(const std::vector<NamedBundle>& bundles) const {
    return NetworkSet(bundles, backbone, kCpu, 1).probabilities(features);
  }
  // By the plain equations, network by network.
  at::Tensor expected(const NetworkFile& network) const {
    const auto engine = make_reference_engine(
        {backbone, network.config, {network.parameters.head_bias.size(1)}, {0.0}});
    return at::softmax(engine->logits(features, {1}, network.parameters), -1)[0];
  }
};

TEST_F(Set, MixedShapesSayWhatEachSaysAlone) {
  const std::vector<NamedBundle> bundles = {
      named("0", {random_network(shape(4, 1), 3)}),
      named("1", {random_network(shape(8, 2, Pool::kCls), 2)}),
      named("2", {random_network(shape(4, 1), 5)}),  // in one bank with the first
      named("3", {random_network(shape(4, 1, Pool::kMeanAll, FinalNorm::kTrainable), 3)}),
      named("4", {random_network(shape(4, 1, Pool::kCls, FinalNorm::kNone, Method::kLinear), 4)})};
  NetworkSet set(bundles, backbone, kCpu, 2);
  EXPECT_EQ(set.size(), 5);
  const auto together = set.probabilities(features);
  ASSERT_EQ(together.size(), bundles.size());
  for (size_t i = 0; i < bundles.size(); ++i) {
    const auto& network = bundles[i].bundle.members.front();
    EXPECT_EQ(together[i].sizes(),
              (at::IntArrayRef{kImages, network.parameters.head_bias.size(1)}));
    EXPECT_LT(largest_difference(together[i], probabilities({bundles[i]})[0]), 1e-6) << i;
    EXPECT_LT(largest_difference(together[i], expected(network)), 1e-5) << i;
  }
}

TEST_F(Set, AMemberThatIsNamedTwiceCountsTwice) {
  const auto a = random_network(shape(4, 1), 3);
  const auto b = random_network(shape(4, 2, Pool::kCls), 3);
  NetworkSet set({named("ensemble", {a, b, a})}, backbone, kCpu, 1);
  EXPECT_EQ(set.size(), 2);
  const auto mean = (2 * expected(a) + expected(b)) / 3;
  EXPECT_LT(largest_difference(set.probabilities(features)[0], mean), 1e-5);
}

TEST_F(Set, ANetworkThatSeveralBundlesShareIsComputedOnce) {
  const auto a = random_network(shape(4, 1), 3);
  const auto b = random_network(shape(4, 1), 3);
  NetworkSet set({named("0", {a}), named("ensemble", {b, a}), named("1", {b})}, backbone, kCpu, 1);
  EXPECT_EQ(set.size(), 2);
  const auto found = set.probabilities(features);
  EXPECT_LT(largest_difference(found[0], expected(a)), 1e-5);
  EXPECT_LT(largest_difference(found[1], (expected(a) + expected(b)) / 2), 1e-5);
  EXPECT_LT(largest_difference(found[2], expected(b)), 1e-5);
}

// Beside networks of gap 1, one of gap 2 has maps in its batch that it does not read.
TEST_F(Set, GapsMayDiffer) {
  const auto near = named("near", {random_network(shape(4, 1), 3)});
  const auto far = named("far", {random_network(shape(4, 2), 3)});
  EXPECT_EQ(needed_layers({near, far}), (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(needed_layers({far}), (std::vector<int64_t>{0, 2}));
  const auto both = probabilities({near, far});
  auto stored = backbone;
  stored.layers = {0, 2};
  const auto alone =
      NetworkSet({far}, stored, kCpu, 1).probabilities(features.slice(1, 0, 3, 2).contiguous());
  EXPECT_LT(largest_difference(both[1], alone[0]), 1e-6);
}

}  // namespace
}  // namespace last
