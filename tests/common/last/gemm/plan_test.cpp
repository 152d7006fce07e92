#include "common/last/gemm/plan.h"

#include <algorithm>
#include <memory>

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "common/last/gemm/engine.h"
#include "common/last/gemm/fused_attention.h"
#include "tests/common/last/bank_case.h"

namespace last {
namespace {

// Counts torch's allocations on this thread, as torch's own memory profiler does.
class MemoryMeter : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device) override {
    current_ += size;
    peak_ = std::max(peak_, current_);
  }
  bool memoryProfilingEnabled() const override { return true; }
  int64_t peak() const { return peak_; }

 private:
  int64_t current_ = 0;
  int64_t peak_ = 0;
};

int64_t measured_bytes(const BankCase& bank, const GemmOptions& options) {
  const auto engine = make_gemm_engine(bank.config(), c10::kCPU, options);
  const auto features = bank.features(), labels = bank.labels();
  const auto parameters = bank.parameters();
  auto gradients = parameters.zeros_like();
  const auto meter = std::make_shared<MemoryMeter>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, meter);
  engine->forward_backward(features, labels, bank.all_active(), parameters, gradients);
  return meter->peak();
}

BankCase realistic(int64_t networks) {
  BankCase bank = bank_cases().front();
  bank.depth = 12;
  bank.dim = 192;
  bank.grid = 7;
  bank.images = 8;
  bank.network.rank = 16;
  bank.classes.assign(static_cast<size_t>(networks), 10);
  bank.smoothing.assign(static_cast<size_t>(networks), 0.0);
  return bank;
}

TEST(GemmPlan, PredictsWhatAStepAllocates) {
  for (const int64_t networks : {1, 6}) {
    for (const bool biases : {false, true}) {
      for (const int64_t modules : {1, 2}) {
        for (const auto attention : {AttentionKernel::kProducts, AttentionKernel::kFused}) {
          BankCase bank = realistic(networks);
          bank.network.biases = biases;
          bank.network.modules = modules;
          const GemmOptions options{.attention = attention, .attention_max_bytes = 4 << 20};
          SCOPED_TRACE(concat(networks, " networks, biases ", biases, ", ", modules, " modules, ",
                              attention == AttentionKernel::kFused ? "fused" : "products"));
          const int64_t predicted = gemm_bytes(bank.config(), networks, bank.images, options);
          const int64_t measured = measured_bytes(bank, options);
          EXPECT_GE(predicted, measured);
          EXPECT_LE(predicted, measured * 4 / 3);
        }
      }
    }
  }
}

TEST(GemmPlan, StaysBelowTheLimit) {
  const BankCase bank = realistic(6);
  GemmOptions options;
  options.attention_max_bytes = 1 << 20;
  const int64_t whole = gemm_bytes(bank.config(), 6, bank.images, options);
  for (const int64_t parts : {2, 4, 8}) {
    options.max_bytes = whole / parts;
    const auto plan = plan_gemm(bank.config(), bank.images, options);
    EXPECT_LE(plan.bytes, options.max_bytes);
    EXPECT_LE(measured_bytes(bank, options), options.max_bytes);
  }
}

TEST(GemmPlan, EvenChunks) {
  const BankCase bank = realistic(6);
  GemmOptions options;
  options.max_bytes = gemm_bytes(bank.config(), 5, bank.images, options);
  EXPECT_EQ(plan_gemm(bank.config(), bank.images, options).networks, 3);
  // CUDA's fused kernels can't count further.
  options = {.attention = AttentionKernel::kFused, .max_bytes = int64_t{1} << 60};
  EXPECT_EQ(plan_gemm(realistic(6).config(), 20000, options).networks, 3);
  EXPECT_EQ(plan_gemm(realistic(6).config(), 70000, options).images, 35000);
  EXPECT_TRUE(gemm::fused_attention_can_index(32767, 8, 197, 16));
  EXPECT_FALSE(gemm::fused_attention_can_index(32768, 8, 197, 16));
  options = {.max_bytes = 1};
  const auto plan = plan_gemm(bank.config(), bank.images, options);
  EXPECT_EQ(plan.networks, 1);
  EXPECT_EQ(plan.images, 1);
  EXPECT_GT(plan.bytes, options.max_bytes);
}

}  // namespace
}  // namespace last
