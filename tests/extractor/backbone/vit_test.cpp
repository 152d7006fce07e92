#include "extractor/backbone/vit.h"

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/max.h>
#include <ATen/ops/std.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "common/tensor_file/safetensors.h"
#include "extractor/backbone/load.h"

namespace last {
namespace {

const c10::Device kCpu(c10::kCPU);

// A file's name, or what stands before .safetensors.
std::string reference(const std::string& name) {
  return concat(LAST_SOURCE_DIR, "/tests/extractor/backbone/reference/", name,
                name.find('.') == std::string::npos ? ".safetensors" : "");
}

Backbone load(const std::string& name, int64_t height, int64_t width) {
  BackboneOptions options;
  options.weights = reference(name);
  options.heads = 2;
  options.image_height = height;
  options.image_width = width;
  return load_backbone(options, kCpu, c10::ScalarType::Float);
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(c10::ScalarType::Double) - b.to(c10::ScalarType::Double)).abs().max().item<double>();
}

// Of every channel of every layer ([B, layers, n, D]) in terms of its spread.
double largest_channel_difference(const at::Tensor& found, const at::Tensor& expected) {
  const at::Tensor channels = expected.to(c10::ScalarType::Double).transpose(1, 2).flatten(0, 1);
  const at::Tensor difference =
      (found.to(c10::ScalarType::Double).transpose(1, 2).flatten(0, 1) - channels).abs();
  return (std::get<0>(difference.max(0)) / channels.std(0)).max().item<double>();
}

const std::vector<int64_t> kAllLayers{0, 1, 2};

// What a file can't tell is said.
struct Case {
  std::string file;
  int64_t heads = 2;  // 0: the file tells
  std::string activation = "auto";
  std::string model = "auto";
};

std::string stem(const Case& test) { return test.file.substr(0, test.file.find('.')); }

std::string name_of(const testing::TestParamInfo<Case>& test) { return stem(test.param); }

class VitMaps : public testing::TestWithParam<Case> {};

// As the library that the family comes from computed them, at the size of the model and at another.
TEST_P(VitMaps, EqualTheLibrary) {
  const Case& test = GetParam();
  const SafetensorsFile expected(reference(stem(test) + "_maps"));
  BackboneOptions options;
  options.weights = reference(test.file);
  options.heads = test.heads;
  options.activation = test.activation;
  options.model = test.model;
  for (const std::string prefix : {"", "resized_"}) {
    const at::Tensor images = expected.tensor(prefix + "images");
    const at::Tensor maps = expected.tensor(prefix + "maps");
    options.image_height = images.size(2);
    options.image_width = images.size(3);
    // tolerance: of the map's largest value
    for (const auto& [precision, tolerance] :
         {std::pair{c10::ScalarType::Float, 1e-5}, std::pair{c10::ScalarType::BFloat16, 3e-2},
          std::pair{c10::ScalarType::Half, 4e-3}}) {
      const Backbone backbone = load_backbone(options, kCpu, precision);
      const at::Tensor found = backbone.vit.maps(images, kAllLayers);
      ASSERT_EQ(found.sizes(), maps.sizes());
      EXPECT_LE(largest_difference(found, maps), tolerance * maps.abs().max().item<double>())
          << prefix << c10::toString(precision);
      EXPECT_LE(largest_channel_difference(found, maps), 100 * tolerance)
          << prefix << c10::toString(precision);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    , VitMaps,
    testing::Values(Case{"timm"}, Case{"registers"}, Case{"distilled"}, Case{"deit3"}, Case{"dino"},
                    Case{"mae"}, Case{"siglip"},
                    Case{"siglip_tanh", 2, "auto", "vit_base_patch32_siglip_256"}, Case{"dinov2"},
                    Case{"dinov2_registers"}, Case{"dinov2_giant"}, Case{"openai_clip"},
                    Case{"open_clip", 2, "gelu"}, Case{"open_clip_timm"}, Case{"eva01"},
                    Case{"eva02_small"}, Case{"eva02_base"}, Case{"eva02_clip"},
                    Case{"eva02_enormous", 2, "auto", "eva02_enormous_patch14_clip_224"},
                    Case{"dinov3", 0}, Case{"dinov3_timm"}, Case{"google.npz", 0},
                    Case{"google_opt_target.npz", 0}, Case{"big_vision.npz", 0},
                    Case{"torchvision"}, Case{"transformers_vit"}, Case{"transformers_deit"},
                    Case{"transformers_mae"}, Case{"transformers_dinov2"},
                    Case{"transformers_dinov2_plain"}, Case{"transformers_dinov2_giant"},
                    Case{"transformers_clip", 2, "quick-gelu"}, Case{"transformers_siglip"},
                    Case{"transformers_dinov3"}, Case{"transformers_dinov3_gated"}),
    name_of);

TEST(Vit, LayersAreChosenAndConverted) {
  const Backbone backbone = load("registers", 24, 24);
  const at::Tensor images = SafetensorsFile(reference("registers_maps")).tensor("images");
  const at::Tensor all = backbone.vit.maps(images, kAllLayers);
  const std::vector<int64_t> some{0, 2};
  const at::Tensor chosen = backbone.vit.maps(images, some, c10::ScalarType::Half);
  EXPECT_TRUE(at::equal(chosen.select(1, 0), all.select(1, 0).to(c10::ScalarType::Half)));
  EXPECT_TRUE(at::equal(chosen.select(1, 1), all.select(1, 2).to(c10::ScalarType::Half)));
  EXPECT_TRUE(chosen.is_contiguous());
}

TEST(Vit, WhatIsNotPossibleIsNamed) {
  const Backbone backbone = load("registers", 24, 24);
  const at::Tensor images = at::zeros({1, 3, 24, 24});
  for (const std::vector<int64_t>& layers :
       std::vector<std::vector<int64_t>>{{3}, {-1}, {1, 1}, {2, 1}}) {
    EXPECT_THROW(backbone.vit.maps(images, layers), Error);
  }
  EXPECT_THROW(backbone.vit.maps(at::zeros({1, 3, 24, 32}), kAllLayers), Error);
  EXPECT_THROW(load("registers", 25, 24), UsageError);
}

TEST(Backbone, InfoDescribesTheTokens) {
  const Backbone backbone = load("distilled", 32, 16);
  const BackboneInfo info = backbone.info({0, 2});
  EXPECT_EQ(info.name, "vit 2x16, 2 heads, patch 8, 16x32");
  EXPECT_EQ(info.depth, 2);
  EXPECT_EQ(info.dim, 16);
  EXPECT_EQ(info.tokens, 2 + 4 * 2);
  EXPECT_EQ(info.prefix_tokens, 2);
  EXPECT_TRUE(info.has_cls_token);
  EXPECT_EQ(info.grid_height, 4);
  EXPECT_EQ(info.grid_width, 2);
  EXPECT_EQ(info.layers, (std::vector<int64_t>{0, 2}));
  EXPECT_EQ(info.norm_eps, 1e-6);
  const SafetensorsFile file(reference("distilled"));
  EXPECT_TRUE(at::equal(info.norm_weight, file.tensor("norm.weight")));
  EXPECT_TRUE(at::equal(info.norm_bias, file.tensor("norm.bias")));
  EXPECT_EQ(info.weights_sha256, file.sha256());
}

TEST(Backbone, UndecidedHeadsAreReportedAndAskedFor) {
  BackboneOptions options;
  options.weights = reference("registers");
  const auto report = describe_backbone(options);
  ASSERT_EQ(report["undecided"].size(), 1U);
  EXPECT_EQ(report["undecided"][0]["what"], "heads");
  EXPECT_EQ(report["undecided"][0]["option"], "--heads");
  EXPECT_EQ(report["config"]["prefix_tokens"], 3);
  EXPECT_THROW(load_backbone(options, kCpu, c10::ScalarType::Float), Error);
  options.heads = 3;  // doesn't divide 16
  EXPECT_THROW(describe_backbone(options), UsageError);
  options.heads = 2;
  options.activation = "relu";
  EXPECT_THROW(describe_backbone(options), UsageError);
  options.activation = "auto";
  options.model = "resnet50";
  EXPECT_THROW(describe_backbone(options), UsageError);
}

TEST(KnownHeads, OfPublishedSizes) {
  EXPECT_EQ(known_heads(192, 12, false), 3);
  EXPECT_EQ(known_heads(1024, 24, false), 16);
  EXPECT_EQ(known_heads(1152, 27, false), 16);
  EXPECT_EQ(known_heads(1536, 40, true), 24);
  EXPECT_EQ(known_heads(1536, 40, false), 16);
  EXPECT_EQ(known_heads(1280, 32, false), 16);
  EXPECT_EQ(known_heads(1280, 32, true), 20);
  EXPECT_EQ(known_heads(200, 12, false), std::nullopt);
}

}  // namespace
}  // namespace last
