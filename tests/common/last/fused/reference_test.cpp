#include <algorithm>
#include <cmath>
#include <ostream>

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include "common/last/fused/engine.h"
#include "common/last/fused/kernels.h"
#include "tests/common/last/fused/random_bank.h"

// Outputs and all gradients of the fused engine against those of autograd, for every option.
namespace last {

void PrintTo(const BankShape& shape, std::ostream* out) { *out << shape.name; }

namespace {

constexpr double kTolerance = 1e-5;  // max|a - b| / max|b| of a tensor

// With factors rounded to bf16: 2^-9 each, through all modules.
constexpr double kBf16Tolerance = 4e-2;

void expect_equal(const Step& fused, const Step& reference, const RandomBank& bank,
                  double tolerance) {
  for (size_t k = 0; k < bank.active.size(); ++k) {
    const auto index = static_cast<int64_t>(k);
    if (bank.active[k] == 0) {
      for (const auto& [name, tensor] : fused.gradients.network(index).named())
        EXPECT_TRUE((tensor == 7).all().item<bool>()) << name << " of an inactive network";
      continue;
    }
    EXPECT_EQ(fused.result.labelled[k], reference.result.labelled[k]);
    if (tolerance == kTolerance) {
      EXPECT_EQ(fused.result.correct[k], reference.result.correct[k]);
    }
    if (reference.result.labelled[k] == 0) {
      EXPECT_TRUE(std::isnan(fused.result.loss[k]));
    } else {
      EXPECT_NEAR(fused.result.loss[k], reference.result.loss[k],
                  tolerance * reference.result.loss[k]);
    }
    const int64_t classes = bank.config.classes[k];
    EXPECT_LE(relative_difference(fused.logits[index].narrow(1, 0, classes),
                                  reference.logits[index].narrow(1, 0, classes)),
              tolerance);
    const auto expected = reference.gradients.network(index).named();
    const auto found = fused.gradients.network(index).named();
    for (size_t i = 0; i < expected.size(); ++i) {
      const double difference = relative_difference(found[i].second, expected[i].second);
      EXPECT_LE(difference, tolerance) << expected[i].first << " of network " << k;
    }
  }
  const at::Tensor none = reference.logits.isinf();
  EXPECT_TRUE((fused.logits.isinf() == none).all().item<bool>());
}

class EveryOption : public testing::TestWithParam<BankShape> {};

TEST_P(EveryOption, EqualsAutograd) {
  const RandomBank bank = make_random_bank(GetParam(), 11);
  const auto reference = run_step(*make_reference_engine(bank.config), bank);
  for (const char* instruction_set : {"generic", "avx2", "avx512"}) {
    if (fused::find_kernels(instruction_set) == nullptr) continue;
    SCOPED_TRACE(instruction_set);
    const auto engine = make_fused_engine(bank.config, 2, instruction_set);
    expect_equal(run_step(*engine, bank), reference, bank, kTolerance);
  }
}

TEST_P(EveryOption, Bf16ProductsStayNear) {
  if (fused::bf16_kernels() == nullptr) GTEST_SKIP() << "no unit for bf16 products";
  const RandomBank bank = make_random_bank(GetParam(), 11);
  const auto reference = run_step(*make_reference_engine(bank.config), bank);
  const auto engine = make_fused_engine(bank.config, 2, "amx_bf16");
  expect_equal(run_step(*engine, bank), reference, bank, kBf16Tolerance);
}

template <class Change>
BankShape with(const std::string& name, const Change& change) {
  BankShape shape;
  shape.name = name;
  shape.network.rank = 8;
  shape.network.heads = 2;
  change(shape);
  return shape;
}

std::vector<BankShape> shapes() {
  using S = BankShape;
  std::vector<S> all = {
      with("plain", [](S&) {}),
      with("gap_2", [](S& s) { s.network.gap = 2; }),
      with("gap_4_one_block", [](S& s) { s.network.gap = 4; }),
      with("three_modules_per_block", [](S& s) { s.network.modules = 3; }),
      with("variant_b", [](S& s) { s.network.variant = Variant::kB; }),
      with("variant_c", [](S& s) { s.network.variant = Variant::kC; }),
      with("variant_c_two_modules",
           [](S& s) {
             s.network.variant = Variant::kC;
             s.network.modules = 2;
           }),
      with("variant_b_without_correction",
           [](S& s) {
             s.network.variant = Variant::kB;
             s.network.bias_correction = false;
           }),
      with("without_bias_correction", [](S& s) { s.network.bias_correction = false; }),
      with("biases", [](S& s) { s.network.biases = true; }),
      with("biases_one_block",
           [](S& s) {
             s.network.biases = true;
             s.network.gap = 4;
           }),
      with("cls", [](S& s) { s.network.pool = Pool::kCls; }),
      with("cls_biases_one_block",
           [](S& s) {
             s.network.pool = Pool::kCls;
             s.network.biases = true;
             s.network.gap = 4;
           }),
      with("mean_all", [](S& s) { s.network.pool = Pool::kMeanAll; }),
      with("many_prefix_tokens", [](S& s) { s.prefix_tokens = 5; }),
      with("no_prefix_tokens", [](S& s) { s.prefix_tokens = 0; }),
      with("trainable_norm", [](S& s) { s.network.norm = FinalNorm::kTrainable; }),
      with("no_norm", [](S& s) { s.network.norm = FinalNorm::kNone; }),
      with("linear", [](S& s) { s.network.method = Method::kLinear; }),
      with("linear_trainable_norm_cls",
           [](S& s) {
             s.network.method = Method::kLinear;
             s.network.norm = FinalNorm::kTrainable;
             s.network.pool = Pool::kCls;
           }),
      with("smoothing", [](S& s) { s.smoothing = {0.1}; }),
      with("unlabelled_rows",
           [](S& s) {
             s.unlabelled_every = 3;
             s.classes = {5, 6};
           }),
      with("nothing_labelled", [](S& s) { s.unlabelled_every = 1; }),
      with("different_networks",
           [](S& s) {
             s.classes = {7, 2, 100, 33};
             s.smoothing = {0, 0.1, 0.3, 0};
             s.network.norm = FinalNorm::kTrainable;
           }),
      with("inactive_networks",
           [](S& s) {
             s.classes = {7, 3, 5};
             s.active = {1, 0, 1};
           }),
      with("bf16", [](S& s) { s.type = at::kBFloat16; }),
      with("fp32", [](S& s) { s.type = at::kFloat; }),
      with("one_image", [](S& s) { s.batch = 1; }),
      with("single_token",
           [](S& s) {
             s.tokens = 2;
             s.dim = 32;
           }),
  };
  const std::pair<int64_t, int64_t> ranks[] = {{1, 1},  {2, 2},  {3, 1},  {4, 1},  {4, 4},  {5, 5},
                                               {6, 2},  {8, 1},  {12, 1}, {16, 1}, {16, 2}, {16, 8},
                                               {17, 1}, {20, 2}, {24, 8}, {32, 1}, {33, 3}, {48, 3},
                                               {64, 1}, {64, 2}, {64, 4}, {64, 64}};
  for (const auto& [rank, heads] : ranks) {
    all.push_back(
        with("rank_" + std::to_string(rank) + "_heads_" + std::to_string(heads), [&](S& s) {
          s.network.rank = rank;
          s.network.heads = heads;
        }));
  }
  for (const int64_t dim : {4, 7, 16, 17, 47, 48, 49, 64, 96, 97, 112, 192, 200}) {
    all.push_back(with("dim_" + std::to_string(dim), [&](S& s) {
      s.dim = dim;
      s.network.rank = std::min<int64_t>(dim / 4 * 4, 8);
      s.type = dim % 2 == 0 ? at::kHalf : at::kBFloat16;
      s.network.biases = true;
    }));
  }
  for (const int64_t tokens : {3, 4, 15, 16, 17, 33, 50, 64, 65, 130, 197, 257}) {
    all.push_back(with("tokens_" + std::to_string(tokens), [&](S& s) {
      s.tokens = tokens;
      s.batch = 3;
    }));
  }
  for (const int64_t tokens : {3, 16, 17, 31, 33, 64, 65, 97, 197}) {
    all.push_back(with("wide_head_tokens_" + std::to_string(tokens), [&](S& s) {
      s.tokens = tokens;
      s.batch = 3;
      s.network.rank = 20;
      s.network.heads = 1;
      s.network.pool = tokens % 3 == 1 ? Pool::kCls : Pool::kMeanPatch;
    }));
  }
  all.push_back(with("vit_ti", [](S& s) {
    s.depth = 12;
    s.dim = 192;
    s.tokens = 197;
    s.batch = 2;
    s.network.rank = 16;
  }));
  return all;
}

INSTANTIATE_TEST_SUITE_P(Fused, EveryOption, testing::ValuesIn(shapes()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace last
