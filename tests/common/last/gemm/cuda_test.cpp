#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "common/cli/device.h"
#include "common/error.h"
#include "common/last/gemm/columns.h"
#include "common/last/gemm/engine.h"
#include "common/last/gemm/products.h"
#include "tests/common/last/bank_case.h"

namespace last {
namespace {

// The GPU, or why there is none. Asked before the first test: torch looks for its CUDA library
// once.
struct Gpu : testing::Environment {
  void SetUp() override {
    try {
      device = resolve_device("cuda");
    } catch (const Error& error) {
      problem = error.what();
    }
  }

  c10::Device device{c10::kCPU};
  std::string problem;
};
Gpu* const gpu = dynamic_cast<Gpu*>(testing::AddGlobalTestEnvironment(new Gpu));

class GemmEngineCudaTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!gpu->problem.empty()) GTEST_SKIP() << "needs a GPU: " << gpu->problem;
  }

  const c10::Device device_ = gpu->device;
};

TEST_F(GemmEngineCudaTest, FirstGradientsEqualTheReference) {
  for (const BankCase& bank : bank_cases()) {
    SCOPED_TRACE(bank.name);
    for (const auto kernel : {AttentionKernel::kProducts, AttentionKernel::kFused}) {
      SCOPED_TRACE(kernel == AttentionKernel::kFused ? "fused" : "products");
      const auto engine = make_gemm_engine(bank.config(), device_, {.attention = kernel});
      const auto step = run(*engine, bank, bank.all_active(), bank.parameters().to(device_));
      expect_close(step, run_reference(bank, bank.all_active()), 1e-5);
    }
  }
}

// The engine would go on without them. (No other test has this rank: kernels are kept.)
TEST_F(GemmEngineCudaTest, KernelsAreUsed) {
  const std::pair<at::ScalarType, at::ScalarType> types[] = {
      {at::kFloat, at::kFloat}, {at::kBFloat16, at::kFloat}, {at::kBFloat16, at::kBFloat16}};
  const gemm::ProductSwitches allowed(true);  // must not matter
  for (const auto& [products, attention] : types) {
    for (const bool biases : {false, true}) {
      gemm::Shape shape;
      shape.dim = 96;
      shape.tokens = 7;
      shape.rank = 24;
      shape.up_rows = shape.rank + (biases ? 1 : 0);
      shape.blocks = 3;
      gemm::ColumnsSpec spec{shape, device_, products, attention, 2, 3, {}};
      spec.warn = [](const std::string& problem) { ADD_FAILURE() << problem; };
      const auto columns = gemm::make_columns(spec);
      const gemm::ProductSwitches exact(false);
      const double difference =
          gemm::largest_difference(*columns, *gemm::make_torch_columns(spec), spec);
      EXPECT_LE(difference, products == at::kFloat ? 1e-4 : 0.02);
      EXPECT_GT(difference, 0);  // they are not torch's operations
    }
  }
}

// With more blocks of keys than their sums could be added in any order.
TEST_F(GemmEngineCudaTest, FusedAttentionGivesTheSameBitsEveryTime) {
  BankCase bank = bank_cases().front();
  bank.grid = 18;
  bank.network.rank = 16;
  for (const auto precision : {ProductPrecision::kFp32, ProductPrecision::kBf16}) {
    const auto engine = make_gemm_engine(
        bank.config(), device_, {.products = precision, .attention = AttentionKernel::kFused});
    const auto once = [&] {
      return run(*engine, bank, bank.all_active(), bank.parameters().to(device_)).gradients;
    };
    const auto a = once(), b = once();
    EXPECT_TRUE(a.qkv_weight.equal(b.qkv_weight));
    EXPECT_TRUE(a.up_weight.equal(b.up_weight));
  }
}

TEST_F(GemmEngineCudaTest, FasterProductsStayNearTheReference) {
  BankCase bank = bank_cases().front();
  bank.depth = 12;
  bank.dim = 192;
  bank.grid = 7;
  bank.network.rank = 16;
  const auto reference = run_reference(bank, bank.all_active());
  const std::pair<ProductPrecision, double> tolerances[] = {{ProductPrecision::kTf32, 8e-3},
                                                            {ProductPrecision::kFp16, 8e-3},
                                                            {ProductPrecision::kBf16, 3e-2}};
  for (const auto& [precision, tolerance] : tolerances) {
    for (const auto kernel : {AttentionKernel::kProducts, AttentionKernel::kFused}) {
      SCOPED_TRACE(
          concat("precision ", static_cast<int>(precision), ", kernel ", static_cast<int>(kernel)));
      const auto engine =
          make_gemm_engine(bank.config(), device_, {.products = precision, .attention = kernel});
      const auto step = run(*engine, bank, bank.all_active(), bank.parameters().to(device_));
      expect_close(step, reference, tolerance);
    }
  }
}

// Losses of 50 steps of plain gradient descent. Rounding grows along the way.
std::vector<double> descend(Engine& engine, const BankCase& bank, Parameters parameters) {
  auto gradients = parameters.zeros_like();
  const auto features = bank.features(), labels = bank.labels();
  std::vector<double> losses;
  for (int step = 0; step < 50; ++step) {
    const auto result =
        engine.forward_backward(features, labels, bank.all_active(), parameters, gradients);
    losses.insert(losses.end(), result.loss.begin(), result.loss.end());
    const auto p = parameters.named(), g = gradients.named();
    for (size_t i = 0; i < p.size(); ++i) p[i].second.sub_(g[i].second, 0.02);
  }
  return losses;
}

TEST_F(GemmEngineCudaTest, FiftyStepsFollowTheReference) {
  const BankCase bank = bank_cases().front();
  const auto engine = make_gemm_engine(bank.config(), device_);
  const auto losses = descend(*engine, bank, bank.parameters().to(device_));
  const auto expected =
      descend(*make_reference_engine(bank.config()), bank, to_double(bank.parameters()));
  for (size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(losses[i], expected[i], 1e-3);
  EXPECT_LT(losses[losses.size() - 3], losses[0]);
}

// The same on the CPU, so that what the GPU must do is known to be possible.
TEST(GemmEngine, FiftyStepsFollowTheReference) {
  const BankCase bank = bank_cases().front();
  const auto engine = make_gemm_engine(bank.config(), c10::kCPU);
  const auto losses = descend(*engine, bank, bank.parameters());
  const auto expected =
      descend(*make_reference_engine(bank.config()), bank, to_double(bank.parameters()));
  for (size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(losses[i], expected[i], 1e-3);
  EXPECT_LT(losses[losses.size() - 3], losses[0]);
}

}  // namespace
}  // namespace last
