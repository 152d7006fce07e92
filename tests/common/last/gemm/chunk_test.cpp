#include <gtest/gtest.h>

#include "common/last/gemm/engine.h"
#include "common/last/gemm/plan.h"
#include "tests/common/last/bank_case.h"

namespace last {
namespace {

BankCase bank_of_five() {
  BankCase bank = bank_cases().front();
  bank.network.biases = true;
  bank.network.norm = FinalNorm::kTrainable;
  bank.images = 6;
  bank.classes = {5, 3, 7, 2, 4};
  bank.smoothing = {0, 0.1, 0.3, 0, 0};
  return bank;
}

// Least memory that holds `networks` and `images` at a time.
GemmOptions options_for(const BankConfig& config, int64_t networks, int64_t images) {
  GemmOptions options;
  options.max_bytes = gemm_bytes(config, networks, images, options);
  return options;
}

TEST(GemmChunks, NetworksInChunksGiveTheSame) {
  const BankCase bank = bank_of_five();
  const auto reference = run_reference(bank, bank.all_active());
  for (const int64_t networks : {1, 2, 3}) {
    const auto options = options_for(bank.config(), networks, bank.images);
    EXPECT_LE(plan_gemm(bank.config(), bank.images, options).networks, networks);
    const auto engine = make_gemm_engine(bank.config(), c10::kCPU, options);
    expect_close(run(*engine, bank, bank.all_active(), bank.parameters()), reference, 1e-5);
  }
}

TEST(GemmChunks, ImagesInChunksGiveTheSame) {
  const BankCase bank = bank_of_five();
  const std::vector<uint8_t> active = {1, 1, 0, 1, 1};
  const auto reference = run_reference(bank, active);
  for (const int64_t images : {1, 4, 5}) {
    const auto options = options_for(bank.config(), 1, images);
    const auto plan = plan_gemm(bank.config(), bank.images, options);
    EXPECT_EQ(plan.networks, 1);
    EXPECT_LE(plan.images, images);
    const auto engine = make_gemm_engine(bank.config(), c10::kCPU, options);
    expect_close(run(*engine, bank, active, bank.parameters()), reference, 1e-5);
  }
}

TEST(GemmChunks, AttentionInPiecesGivesTheSame) {
  const BankCase bank = bank_of_five();
  GemmOptions options;
  options.attention_max_bytes = 7 * 3 * 4 * 10 * 10;  // seven of 60 score matrices
  const auto engine = make_gemm_engine(bank.config(), c10::kCPU, options);
  expect_close(run(*engine, bank, bank.all_active(), bank.parameters()),
               run_reference(bank, bank.all_active()), 1e-5);
}

}  // namespace
}  // namespace last
