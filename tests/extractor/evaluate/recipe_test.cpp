#include "extractor/evaluate/recipe.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "tests/common/feature_store/example_store.h"
#include "tests/extractor/evaluate/example_bundle.h"

namespace last {
namespace {

using nlohmann::json;
using Pointer = json::json_pointer;

json features() {
  return {{"weights_sha256", std::string(64, 'a')},
          {"model", {{"depth", 2}, {"activation", "gelu"}}},
          {"preprocessing",
           {{"resize", {32, 48}},
            {"crop", "none"},
            {"interpolation", "bicubic"},
            {"mean", {0.5, 0.5, 0.5}},
            {"std", {0.5, 0.5, 0.25}}}},
          {"store", "fp16"},
          {"precision", "fp32"},
          {"layers", {0, 1, 2}}};
}

NamedBundle network_of(const std::string& name, const json& features) {
  auto network = random_network({}, 2);
  network.features = features;
  return named(name, {network});
}

std::string difference(const json& other) {
  return testing::error_of([&] {
    common_recipe({network_of("first", features()), network_of("second", other)});
  });
}

TEST(Recipe, IsReadFromTheNetworks) {
  const auto recipe = common_recipe({network_of("first", features())});
  EXPECT_EQ(recipe.source, "folder/first.safetensors");
  EXPECT_EQ(recipe.preprocessing.width, 32);
  EXPECT_EQ(recipe.preprocessing.height, 48);
  EXPECT_EQ(recipe.preprocessing.std[2], 0.25F);
  EXPECT_EQ(recipe.store, c10::ScalarType::Half);
  EXPECT_EQ(recipe.precision, c10::ScalarType::Float);
}

TEST(Recipe, NamesEveryFieldInWhichNetworksDiffer) {
  const std::vector<std::pair<const char*, json>> changes = {
      {"/weights_sha256", std::string(64, 'b')},
      {"/model/depth", 3},
      {"/model/activation", "quick_gelu"},
      {"/preprocessing/resize", {32, 32}},
      {"/preprocessing/crop", "center:64"},
      {"/preprocessing/interpolation", "bilinear"},
      {"/preprocessing/mean", {0.5, 0.4, 0.5}},
      {"/preprocessing/std", {0.5, 0.5, 0.5}},
      {"/store", "bf16"}};
  for (const auto& [place, value] : changes) {
    auto other = features();
    other[Pointer(place)] = value;
    std::string name = std::string(place).substr(1);
    std::ranges::replace(name, '/', '.');
    const auto message = difference(other);
    EXPECT_NE(message.find("can't be evaluated together: " + name + ": "), std::string::npos)
        << place << ": " << message;
    EXPECT_NE(message.find("in \"folder/second.safetensors\""), std::string::npos) << message;
  }
}

TEST(Recipe, LayersAndPrecisionMayDiffer) {
  auto other = features();
  other["layers"] = {0, 2};
  other["precision"] = "bf16";
  EXPECT_EQ(difference(other), "");
}

TEST(Recipe, NoticesOtherPrecisions) {
  auto half = features(), brain = features();
  half["precision"] = "fp16";
  brain["precision"] = "bf16";
  const std::vector<NamedBundle> networks = {network_of("a", features()), network_of("b", half),
                                             network_of("c", half), network_of("d", brain)};
  const auto notices = precision_notices(networks, c10::ScalarType::Float);
  ASSERT_EQ(notices.size(), 2U);
  const auto starts = [&](const std::string& text) {
    return std::ranges::count_if(notices, [&](const auto& line) { return line.starts_with(text); });
  };
  EXPECT_EQ(starts("the features of \"folder/b.safetensors\" and 1 more were computed in fp16, "
                   "these are in fp32"),
            1);
  EXPECT_EQ(starts("the features of \"folder/d.safetensors\" were computed in bf16"), 1);
  EXPECT_TRUE(precision_notices({networks[0]}, c10::ScalarType::Float).empty());
}

TEST(Recipe, NamesWhatAFileDoesNotTell) {
  for (const char* field : {"weights_sha256", "model", "preprocessing", "store", "precision"}) {
    auto incomplete = features();
    incomplete.erase(field);
    const auto message =
        testing::error_of([&] { common_recipe({network_of("first", incomplete)}); });
    EXPECT_NE(message.find("folder/first.safetensors"), std::string::npos) << message;
    EXPECT_NE(message.find(field), std::string::npos) << message;
  }
  auto broken = features();
  broken["preprocessing"]["std"] = {0.5, 0, 0.5};
  const auto message = testing::error_of([&] { common_recipe({network_of("first", broken)}); });
  EXPECT_NE(message.find("a std of 0"), std::string::npos) << message;
}

struct OfBackbone : ::testing::Test {
  OfBackbone() {
    BackboneOptions options;
    options.weights =
        concat(LAST_SOURCE_DIR, "/tests/extractor/backbone/reference/", "registers.safetensors");
    options.heads = 2;
    backbone.emplace(load_backbone(options, c10::kCPU, c10::ScalarType::Float));
    auto described = features();
    described["weights_sha256"] = backbone->weights_sha256;
    described["model"] = backbone->report.config;
    network = network_of("first", described);
    network.bundle.members.front().backbone = backbone->info({0, 1, 2});
  }

  std::string difference() const {
    return testing::error_of(
        [&] { check_backbone(common_recipe({network}), {network}, *backbone); });
  }
  json& features_of_network() { return network.bundle.members.front().features; }
  BackboneInfo& info() { return network.bundle.members.front().backbone; }

  std::optional<Backbone> backbone;
  NamedBundle network;
};

TEST_F(OfBackbone, IsThatOfTheNetworks) {
  EXPECT_EQ(difference(), "");
  info().norm_weight = info().norm_bias = at::Tensor();  // a network with its own final norm
  EXPECT_EQ(difference(), "");
}

TEST_F(OfBackbone, OtherWeightsAndOptionsAreNamed) {
  const auto intact = features_of_network();
  features_of_network()["weights_sha256"] = std::string(64, 'a');
  EXPECT_NE(difference().find("another backbone: weights_sha256"), std::string::npos);
  features_of_network() = intact;
  features_of_network()["model"]["norm_eps"] = 0.5;
  EXPECT_NE(difference().find("another backbone: model.norm_eps"), std::string::npos)
      << difference();
}

TEST_F(OfBackbone, EveryFieldOfItsDescriptionIsCompared) {
  const std::vector<std::pair<const char*, std::function<void(BackboneInfo&)>>> changes = {
      {"weights_sha256", [](BackboneInfo& b) { b.weights_sha256 = "other"; }},
      {"depth", [](BackboneInfo& b) { b.depth += 1; }},
      {"dim", [](BackboneInfo& b) { b.dim += 1; }},
      {"tokens", [](BackboneInfo& b) { b.tokens += 1; }},
      {"prefix tokens", [](BackboneInfo& b) { b.prefix_tokens += 1; }},
      {"cls token", [](BackboneInfo& b) { b.has_cls_token = !b.has_cls_token; }},
      {"norm_eps", [](BackboneInfo& b) { b.norm_eps *= 2; }},
      {"the final norm", [](BackboneInfo& b) { b.norm_weight = b.norm_weight + 1; }},
      {"the final norm", [](BackboneInfo& b) { b.norm_bias = b.norm_bias + 1; }}};
  const auto intact = info();
  for (const auto& [name, change] : changes) {
    info() = intact;
    change(info());
    const auto message = difference();
    EXPECT_NE(message.find("is of another backbone: " + std::string(name)), std::string::npos)
        << name << ": " << message;
  }
}

}  // namespace
}  // namespace last
