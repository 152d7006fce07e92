#include "tests/common/last/bank_case.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Generator.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

namespace last {
namespace {

at::Tensor normal(at::IntArrayRef shape, double std, const at::Generator& generator) {
  return at::empty(shape, at::kFloat).normal_(0, std, generator);
}

BankCase with(const std::string& name, void (*change)(BankCase&)) {
  BankCase bank;
  bank.name = name;
  bank.network.rank = 4;
  bank.network.heads = 2;
  change(bank);
  return bank;
}

}  // namespace

BankConfig BankCase::config() const {
  auto generator = at::detail::createCPUGenerator(3);
  BankConfig bank;
  bank.backbone.depth = depth;
  bank.backbone.dim = dim;
  bank.backbone.tokens = prefix_tokens + grid * grid;
  bank.backbone.prefix_tokens = prefix_tokens;
  bank.backbone.has_cls_token = prefix_tokens > 0;
  bank.backbone.grid_height = bank.backbone.grid_width = grid;
  for (int64_t layer = 0; layer <= depth; layer += stored_gap) {
    bank.backbone.layers.push_back(layer);
  }
  bank.backbone.norm_weight = normal({dim}, 0.3, generator).add_(1);
  bank.backbone.norm_bias = normal({dim}, 0.3, generator);
  bank.backbone.norm_eps = 1e-6;
  bank.network = network;
  bank.classes = classes;
  bank.label_smoothing = smoothing;
  return bank;
}

at::Tensor BankCase::features() const {
  auto generator = at::detail::createCPUGenerator(5);
  const auto backbone = config().backbone;
  const auto layers = static_cast<int64_t>(backbone.layers.size());
  auto z = at::empty({images, layers, backbone.tokens, dim}, at::kFloat);
  auto stream = normal({images, backbone.tokens, dim}, 0.3, generator);
  for (int64_t i = 0; i < layers; ++i) {
    stream.add_(normal({images, backbone.tokens, dim}, 0.5, generator));
    stream.select(2, dim / 3).add_(40);  // z_12 of one channel near 500, P_12 near 3000
    z.select(1, i).copy_(stream);
  }
  return z.to(feature_type);
}

at::Tensor BankCase::labels() const {
  auto result = at::zeros({static_cast<int64_t>(classes.size()), images}, at::kInt);
  for (size_t k = 0; k < classes.size(); ++k) {
    auto row = result[static_cast<int64_t>(k)];
    for (int64_t b = 0; b < images; ++b) {
      row[b].fill_((b * 3 + static_cast<int64_t>(k) + 1) % classes[k]);
      if (unlabelled_rows && (b + static_cast<int64_t>(k)) % 4 == 1) row[b].fill_(-1);
    }
  }
  return result;
}

Parameters BankCase::parameters() const {
  auto generator = at::detail::createCPUGenerator(7);
  const auto bank = config();
  const int64_t largest = *std::max_element(classes.begin(), classes.end());
  auto p = make_parameters(bank.networks(), network, bank.backbone, largest);
  const double bound = 1 / std::sqrt(static_cast<double>(dim));
  const auto fill = [&](at::Tensor& t, double mean, double std) {
    if (t.defined()) t.normal_(mean, std, generator);
  };
  fill(p.norm_weight, 1, 0.2);
  fill(p.norm_bias, 0, 0.2);
  fill(p.qkv_weight, 0, bound);
  if (score_scale != 1) p.qkv_weight.narrow(3, 0, 2 * network.rank).mul_(score_scale);
  fill(p.qkv_bias, 0, 0.3);
  fill(p.up_weight, 0, 0.5);
  fill(p.up_bias, 0, 0.3);
  fill(p.final_norm_weight, 1, 0.2);
  fill(p.final_norm_bias, 0, 0.2);
  for (int64_t k = 0; k < bank.networks(); ++k) {
    const int64_t own = classes[static_cast<size_t>(k)];
    p.head_weight[k].narrow(0, 0, own).normal_(0, 0.3, generator);
    p.head_bias[k].narrow(0, 0, own).normal_(0, 0.3, generator);
  }
  return p;
}

std::vector<BankCase> bank_cases() {
  using C = BankCase;
  return {
      with("Default", [](C&) {}),
      with("OneHead", [](C& c) { c.network.heads = 1; }),
      with("HeadsOfOneChannel", [](C& c) { c.network.heads = 4; }),
      with("RankOne", [](C& c) { c.network.rank = c.network.heads = 1; }),
      with("VariantB", [](C& c) { c.network.variant = Variant::kB; }),
      with("VariantC", [](C& c) { c.network.variant = Variant::kC; }),
      with("NoBiasCorrection", [](C& c) { c.network.bias_correction = false; }),
      with("NoBiasCorrectionVariantB",
           [](C& c) {
             c.network.bias_correction = false;
             c.network.variant = Variant::kB;
           }),
      with("Biases", [](C& c) { c.network.biases = true; }),
      // With a bias, A_up has one row more than fits into sixteen, or sixty-four.
      with("BiasesRank16",
           [](C& c) {
             c.network.biases = true;
             c.network.rank = 16;
             c.network.heads = 2;
           }),
      with("BiasesRank64",
           [](C& c) {
             c.network.biases = true;
             c.network.rank = 64;
             c.network.heads = 1;
             c.dim = 80;
           }),
      with("TwoModules", [](C& c) { c.network.modules = 2; }),
      with("ThreeModulesBiasesVariantC",
           [](C& c) {
             c.network.modules = 3;
             c.network.biases = true;
             c.network.variant = Variant::kC;
             c.depth = 2;
           }),
      with("GapTwo",
           [](C& c) {
             c.network.gap = 2;
             c.network.biases = true;
           }),
      with("GapTwoOfAStoreWithGapTwo",
           [](C& c) {
             c.network.gap = 2;
             c.stored_gap = 2;
           }),
      with("GapIsDepth", [](C& c) { c.network.gap = 4; }),
      with("PoolCls", [](C& c) { c.network.pool = Pool::kCls; }),
      with("PoolMeanAll", [](C& c) { c.network.pool = Pool::kMeanAll; }),
      with("NoPrefix", [](C& c) { c.prefix_tokens = 0; }),
      with("FivePrefixTokens", [](C& c) { c.prefix_tokens = 5; }),
      with("NormTrainable", [](C& c) { c.network.norm = FinalNorm::kTrainable; }),
      with("NormNone",
           [](C& c) {
             c.network.norm = FinalNorm::kNone;
             c.network.biases = true;
           }),
      with("Linear", [](C& c) { c.network.method = Method::kLinear; }),
      with("LinearClsTrainable",
           [](C& c) {
             c.network.method = Method::kLinear;
             c.network.pool = Pool::kCls;
             c.network.norm = FinalNorm::kTrainable;
           }),
      with("FeaturesFp32", [](C& c) { c.feature_type = at::kFloat; }),
      with("FeaturesBf16", [](C& c) { c.feature_type = at::kBFloat16; }),
      with("OneNetwork",
           [](C& c) {
             c.classes = {4};
             c.smoothing = {0.2};
           }),
      with("OneClass",
           [](C& c) {
             c.classes = {1, 1, 2};
           }),
      with("OneImage",
           [](C& c) {
             c.images = 1;
             c.unlabelled_rows = false;
           }),
      with("NothingLabelledForOneNetwork", [](C& c) { c.images = 2; }),
      with("OnePatch", [](C& c) { c.grid = 1; }),
      with("OneToken",
           [](C& c) {
             c.grid = 1;
             c.prefix_tokens = 0;
           }),
      with("TwelveBlocks",
           [](C& c) {
             c.depth = 12;
             c.dim = 192;
             c.grid = 7;
             c.network.rank = 16;
             c.network.heads = 2;
           }),
      with("TwelveBlocksBiasesOddSizes",
           [](C& c) {
             c.depth = 12;
             c.dim = 101;
             c.grid = 5;
             c.network.rank = 6;
             c.network.heads = 3;
             c.network.biases = true;
           }),
  };
}

BankCase draw_bank_case(uint64_t seed) {
  std::mt19937_64 random(seed);  // gives the same numbers everywhere
  const auto below = [&](int64_t limit) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(limit));
  };
  const auto one_of = [&](const auto& values) {
    return values[static_cast<size_t>(below(static_cast<int64_t>(values.size())))];
  };
  BankCase c;
  c.name = "Draw" + std::to_string(seed);
  c.dim = 8 + below(143);
  c.grid = 2 + below(7);
  c.prefix_tokens = below(5);
  c.images = 1 + below(4);
  c.feature_type = one_of(std::array{at::kHalf, at::kBFloat16, at::kFloat});
  c.unlabelled_rows = below(2) == 0;
  c.classes.clear();
  c.smoothing.clear();
  for (int64_t k = below(3); k >= 0; --k) {
    c.classes.push_back(2 + below(70));
    c.smoothing.push_back(0.1 * static_cast<double>(below(3)));
  }
  NetworkConfig& n = c.network;
  const int64_t largest = std::min<int64_t>(64, c.dim);
  const int64_t head_dim = 1 + below(largest);
  n.heads = 1 + below(largest / head_dim);
  n.rank = n.heads * head_dim;
  n.gap = one_of(std::array{1, 2, 4});
  n.modules = 1 + below(2);
  n.variant = one_of(std::array{Variant::kB, Variant::kC, Variant::kD});
  n.bias_correction = below(3) > 0;
  n.biases = below(2) == 0;
  n.pool = one_of(std::array{Pool::kMeanPatch, Pool::kCls, Pool::kMeanAll});
  if (n.pool == Pool::kCls) c.prefix_tokens += 1;
  n.norm = one_of(std::array{FinalNorm::kFrozen, FinalNorm::kTrainable, FinalNorm::kNone});
  return c;
}

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  const auto x = a.to(at::kCPU).to(at::kDouble), y = b.to(at::kCPU).to(at::kDouble);
  const double scale = y.abs().max().item<double>();
  return x.sub(y).abs().max().item<double>() / (scale > 0 ? scale : 1);
}

Parameters to_double(const Parameters& parameters) {
  Parameters p = parameters;
  for (at::Tensor* t :
       {&p.norm_weight, &p.norm_bias, &p.qkv_weight, &p.qkv_bias, &p.up_weight, &p.up_bias,
        &p.final_norm_weight, &p.final_norm_bias, &p.head_weight, &p.head_bias}) {
    if (t->defined()) *t = t->to(at::kDouble);
  }
  return p;
}

Step run(Engine& engine, const BankCase& bank, const std::vector<uint8_t>& active,
         const Parameters& parameters) {
  Step step;
  step.gradients = parameters.zeros_like();
  for (const auto& [name, gradient] : step.gradients.named()) gradient.fill_(77);  // overwritten
  const auto features = bank.features();
  step.result =
      engine.forward_backward(features, bank.labels(), active, parameters, step.gradients);
  step.logits = engine.logits(features, active, parameters);
  return step;
}

Step run_reference(const BankCase& bank, const std::vector<uint8_t>& active) {
  return run(*make_reference_engine(bank.config()), bank, active, to_double(bank.parameters()));
}

void expect_close(const Step& step, const Step& reference, double tolerance) {
  EXPECT_EQ(step.result.correct, reference.result.correct);
  EXPECT_EQ(step.result.labelled, reference.result.labelled);
  for (size_t k = 0; k < reference.result.loss.size(); ++k) {
    const double loss = reference.result.loss[k];
    EXPECT_EQ(std::isnan(step.result.loss[k]), std::isnan(loss)) << "network " << k;
    if (!std::isnan(loss)) {
      EXPECT_NEAR(step.result.loss[k], loss, tolerance * (1 + loss)) << "network " << k;
    }
  }
  const auto expected = reference.gradients.named();
  const auto actual = step.gradients.named();
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_LE(relative_difference(actual[i].second, expected[i].second), tolerance)
        << expected[i].first;
  }
  const auto padding = reference.logits.isinf();
  EXPECT_TRUE(step.logits.to(at::kCPU).isinf().equal(padding));
  EXPECT_LE(relative_difference(step.logits.to(at::kCPU).masked_fill(padding, 0),
                                reference.logits.masked_fill(padding, 0)),
            tolerance)
      << "logits";
}

}  // namespace last
