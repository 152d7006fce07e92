#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "common/last/fused/engine.h"
#include "common/last/fused/kernels.h"
#include "common/last/gemm/engine.h"
#include "tests/common/last/bank_case.h"

// One suite for all engines: results, outputs and all gradients against the equations in fp64, so
// that what a form costs in digits is seen, not hidden by the reference's own rounding.
namespace last {
namespace {

constexpr double kTolerance = 1e-5;  // max|a - b| / max|b| of a tensor

// An instruction set of the fused engine is tried in all forms of the backward pass.
const std::vector<std::string> kFused = {"generic",         "avx2",         "avx512",
                                         "generic_crossed", "avx2_crossed", "avx512_crossed",
                                         "generic_half",    "avx2_half",    "avx512_half"};
const std::vector<std::string> kEngines = [] {
  std::vector<std::string> all = {"gemm"};
  all.insert(all.end(), kFused.begin(), kFused.end());
  return all;
}();

class EngineEquality : public testing::TestWithParam<std::tuple<std::string, BankCase>> {
 protected:
  static std::unique_ptr<Engine> make_engine(const BankConfig& config) {
    const std::string& name = std::get<0>(GetParam());
    if (name == "gemm") return make_gemm_engine(config, c10::kCPU);
    const std::string form = name.substr(instruction_set().size());
    return make_fused_engine(config, 2, instruction_set(),
                             form == "_crossed" ? fused::BackwardForm::kCrossed
                             : form == "_half"  ? fused::BackwardForm::kHalf
                                                : fused::BackwardForm::kPlain);
  }
  static std::string instruction_set() {
    const std::string& name = std::get<0>(GetParam());
    return name.substr(0, name.find('_'));
  }
  void SetUp() override {
    at::set_num_threads(1);  // the tensors are small
    if (std::get<0>(GetParam()) != "gemm" &&
        fused::find_kernels(instruction_set().c_str()) == nullptr) {
      GTEST_SKIP() << "this processor has no " << instruction_set();
    }
  }
};

TEST_P(EngineEquality, ToTheReference) {
  const BankCase& bank = std::get<1>(GetParam());
  const auto engine = make_engine(bank.config());
  const auto step = run(*engine, bank, bank.all_active(), bank.parameters());
  // A large score has an error of its own size times 2^-24, which its probability inherits.
  const double tolerance = kTolerance * std::max(1.0, bank.score_scale * bank.score_scale / 4);
  expect_close(step, run_reference(bank, bank.all_active()), tolerance);
}

std::string test_name(const testing::TestParamInfo<std::tuple<std::string, BankCase>>& test) {
  return std::get<0>(test.param) + "_" + std::get<1>(test.param).name;
}

std::vector<BankCase> draws() {
  std::vector<BankCase> all;
  for (uint64_t seed = 1; seed <= 30; ++seed) all.push_back(draw_bank_case(seed));
  return all;
}

// Every head dimension there is, at a number of tokens that no vector divides.
std::vector<BankCase> head_dimensions() {
  std::vector<BankCase> all;
  for (int64_t d = 1; d <= 64; ++d) {
    BankCase bank;
    bank.name = "HeadDimension" + std::to_string(d);
    bank.network.heads = d <= 32 ? 2 : 1;
    bank.network.rank = bank.network.heads * d;
    bank.depth = 2;
    bank.dim = 72;
    bank.grid = 5;
    bank.images = 2;
    all.push_back(bank);
  }
  return all;
}

// Scores of some hundred: 2^s overflows unless the largest one is subtracted first.
std::vector<BankCase> large_scores() {
  std::vector<BankCase> all;
  for (const int64_t heads : {1, 2, 8}) {
    for (const int64_t scale : {6, 12}) {
      BankCase bank;
      bank.name = "Scores" + std::to_string(scale) + "Heads" + std::to_string(heads);
      bank.network.rank = 8;
      bank.network.heads = heads;
      bank.depth = 2;
      bank.score_scale = static_cast<double>(scale);
      all.push_back(bank);
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Options, EngineEquality,
                         testing::Combine(testing::ValuesIn(kEngines),
                                          testing::ValuesIn(bank_cases())),
                         test_name);
INSTANTIATE_TEST_SUITE_P(Draws, EngineEquality,
                         testing::Combine(testing::ValuesIn(kEngines), testing::ValuesIn(draws())),
                         test_name);
INSTANTIATE_TEST_SUITE_P(HeadDimensions, EngineEquality,
                         testing::Combine(testing::ValuesIn(kFused),
                                          testing::ValuesIn(head_dimensions())),
                         test_name);
INSTANTIATE_TEST_SUITE_P(LargeScores, EngineEquality,
                         testing::Combine(testing::ValuesIn(kEngines),
                                          testing::ValuesIn(large_scores())),
                         test_name);

}  // namespace
}  // namespace last
