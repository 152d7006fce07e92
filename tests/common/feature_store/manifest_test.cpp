#include "common/feature_store/manifest.h"

#include <ATen/ops/clone.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "tests/common/feature_store/example_store.h"

namespace last {
namespace {

using testing::error_of;
using testing::example_manifest;

TEST(Manifest, HashesTheFeaturesPartOfTheConfigurationOnly) {
  Manifest manifest = example_manifest(2);
  manifest.config = {{"features", {{"b", 1}, {"a", {0.5, "x"}}}}, {"run", {{"threads", 2}}}};
  // hashlib.sha256(b'{"a":[0.5,"x"],"b":1}').hexdigest()
  const std::string expected = "9ba1833eb37d5171929cf1ef8085d26ff9e663581bc24924d0fd8e5731ebe2f1";
  EXPECT_EQ(manifest.config_hash(), expected);
  manifest.config["run"]["threads"] = 8;
  EXPECT_EQ(manifest.config_hash(), expected);
}

TEST(Manifest, NamesTheFirstLeafThatDiffers) {
  const nlohmann::json stored = {{"preprocessing", {{"resize", {224, 224}}, {"crop", "none"}}}};
  nlohmann::json now = stored;
  const auto difference = [](const nlohmann::json& a, const nlohmann::json& b) {
    return first_difference(a, b, "in the store", "now");
  };
  EXPECT_EQ(difference(stored, now), "");
  now["preprocessing"]["resize"] = {256, 256};
  EXPECT_EQ(difference(stored, now), "preprocessing.resize: [224,224] in the store, [256,256] now");
  now = stored;
  now["views"] = 2;
  EXPECT_EQ(difference(stored, now), "views: absent in the store, 2 now");
  EXPECT_EQ(difference(now, stored), "views: 2 in the store, absent now");
}

TEST(Manifest, NamesBothSidesAsAskedFor) {
  EXPECT_EQ(first_difference({{"gap", 2}}, {{"gap", 3}}, "when training", "here"),
            "gap: 2 when training, 3 here");
}

TEST(Manifest, NamesWhatKeepsFeaturesFromStandingInForOthers) {
  const Manifest stored = example_manifest(5);
  const auto difference = [&](auto change) {
    Manifest other = example_manifest(5);
    other.backbone.norm_weight = stored.backbone.norm_weight.clone();
    change(other);
    return feature_difference(stored, other);
  };
  EXPECT_EQ(feature_difference(stored, example_manifest(9)), "");
  EXPECT_EQ(difference([](Manifest& m) { m.config["features"]["views"] = 3; }), "");
  EXPECT_EQ(difference([](Manifest& m) { m.config["run"]["batch_size"] = 8; }), "");
  EXPECT_EQ(difference([](Manifest& m) { m.labels[0].classes[1] = "Pflaumen"; }), "");
  EXPECT_EQ(difference([](Manifest& m) { m.config["features"]["mean"] = 0.5; }),
            "mean: absent in the first store, 0.5 in the second");
  EXPECT_EQ(difference([](Manifest& m) { m.dtype = c10::ScalarType::Float; }),
            "feature type: \"fp16\" in the first store, \"fp32\" in the second");
  EXPECT_EQ(difference([](Manifest& m) { m.backbone.layers.pop_back(); }),
            "layers: [0,2,4] in the first store, [0,2] in the second");
  const std::vector<std::pair<std::string, void (*)(Manifest&)>> changes = {
      {"tokens", [](Manifest& m) { ++m.backbone.tokens; }},
      {"dim", [](Manifest& m) { ++m.backbone.dim; }},
      {"prefix tokens", [](Manifest& m) { ++m.backbone.prefix_tokens; }},
      {"cls token", [](Manifest& m) { m.backbone.has_cls_token = !m.backbone.has_cls_token; }},
      {"depth", [](Manifest& m) { ++m.backbone.depth; }},
      {"norm eps", [](Manifest& m) { m.backbone.norm_eps = 1e-3; }},
      {"norm weight", [](Manifest& m) { m.backbone.norm_weight.data_ptr<float>()[5] = 9; }},
      {"norm bias", [](Manifest& m) { m.backbone.norm_bias = m.backbone.norm_weight; }},
      {"weights SHA-256", [](Manifest& m) { m.backbone.weights_sha256 = "00"; }}};
  for (const auto& [what, change] : changes) {
    EXPECT_TRUE(difference(change).starts_with(what + ": ")) << what << ": " << difference(change);
  }
}

TEST(Manifest, NamesAnotherKindOfDevice) {
  Manifest stored = example_manifest(5), now = example_manifest(5);
  const auto difference = [&](const char* a, const char* b) {
    stored.config["run"]["device"] = a;
    now.config["run"]["device"] = b;
    return device_difference(stored, now, "in the store", "now");
  };
  EXPECT_EQ(difference("cuda:0", "cpu"), "device: \"cuda\" in the store, \"cpu\" now");
  EXPECT_EQ(difference("cuda:0", "cuda:1"), "");
  EXPECT_EQ(difference("cpu", "cpu"), "");
  now.config["run"].erase("device");
  EXPECT_EQ(device_difference(stored, now, "in the store", "now"), "");
}

TEST(Manifest, NamesDifferencesOutsideTheConfiguration) {
  const Manifest stored = example_manifest(5);
  const auto difference = [&](auto change) {
    Manifest now = stored;
    now.backbone.norm_weight = stored.backbone.norm_weight.clone();
    change(now);
    return first_difference(stored, now);
  };
  EXPECT_EQ(difference([](Manifest&) {}), "");
  EXPECT_EQ(difference([](Manifest& m) { m.config["run"]["device"] = "cuda"; }), "");
  EXPECT_EQ(difference([](Manifest& m) { m.config["run"]["batch_size"] = 8; }),
            "batch_size: 4 in the store, 8 now");
  EXPECT_EQ(difference([](Manifest& m) { m.config["run"]["max_pixels"] = 9; }),
            "max_pixels: null in the store, 9 now");
  EXPECT_EQ(difference([](Manifest& m) { m.shard_count = 2; }),
            "shard count: 1 in the store, 2 now");
  EXPECT_EQ(difference([](Manifest& m) { m = example_manifest(6); }),
            "rows: 5 in the store, 6 now");
  EXPECT_EQ(difference([](Manifest& m) { m.sample_ids[4] = "b.jpg"; }),
            "image 4: \"class 1/bild_ü_4.jpg\" in the store, \"b.jpg\" now");
  EXPECT_EQ(difference([](Manifest& m) { m.labels[0].labels[2] = 0; }),
            "label of column \"species\", row 2: 1 in the store, 0 now");
  EXPECT_EQ(difference([](Manifest& m) { m.labels[0].classes[1] = "Pflaumen"; }),
            "class of column \"species\" 1: \"Birnen\" in the store, \"Pflaumen\" now");
  EXPECT_EQ(difference([](Manifest& m) { m.backbone.norm_weight.data_ptr<float>()[5] = 9; }),
            "norm weight: other values in the store than now");
  EXPECT_EQ(difference([](Manifest& m) { m.created_by = "extractor 0.2.0"; }),
            "program: \"extractor 0.1.0\" in the store, \"extractor 0.2.0\" now");
}

TEST(Manifest, RefusesContradictions) {
  const auto error = [](auto change) {
    Manifest manifest = example_manifest(5);
    change(manifest);
    return error_of([&] { check_manifest(manifest, "x"); });
  };
  EXPECT_EQ(error([](Manifest&) {}), "");
  EXPECT_EQ(error([](Manifest& m) { m.sample_ids.pop_back(); }), "x: 4 sample ids for 5 rows");
  EXPECT_EQ(error([](Manifest& m) { m.labels[0].labels[0] = 3; }),
            "x: label column \"species\" holds the label 3, expected -1 to 2");
  EXPECT_EQ(error([](Manifest& m) { m.labels[1].labels[0] = 10'000'000; }), "");
  EXPECT_EQ(error([](Manifest& m) { m.labels[1].labels[0] = 10'000'001; }),
            "x: label column \"label\" holds the label 10000001, expected -1 to 10000000");
  EXPECT_EQ(error([](Manifest& m) { m.labels[1].name = "a/b"; }),
            "x: a label column can't be called \"a/b\"");
  EXPECT_EQ(error([](Manifest& m) { m.labels[1].name = "gr\xf6sse"; }),
            "x: a label column's name is not UTF-8");
  EXPECT_EQ(error([](Manifest& m) { m.labels[0].classes[2] = "V\xf6gel"; }),
            "x: a class of \"species\" is not UTF-8");
  EXPECT_EQ(error([](Manifest& m) { m.sample_ids[0] = "V\xf6gel.jpg"; }), "");
  EXPECT_EQ(error([](Manifest& m) { m.labels[1].name = "species"; }),
            "x: two label columns \"species\"");
  EXPECT_EQ(error([](Manifest& m) {
              m.backbone.layers = {2, 2};
            }),
            "x: a layer is 2, expected 3 to 4");
  EXPECT_EQ(error([](Manifest& m) { m.backbone.tokens = 6; }),
            "x: 6 tokens, but 1 prefix tokens and a grid of 2x2 patches");
  EXPECT_NE(error([](Manifest& m) { m.rows = 0; }), "");
  EXPECT_NE(error([](Manifest& m) { m.config = nullptr; }), "");
}

TEST(Manifest, KnowsThreeTypes) {
  for (const char* name : {"fp16", "bf16", "fp32"}) {
    EXPECT_EQ(dtype_name(parse_dtype(name, "x")), name);
  }
  EXPECT_EQ(error_of([] { parse_dtype("int8", "--store"); }),
            "--store: no feature type \"int8\"; known: fp16, bf16, fp32");
}

TEST(Manifest, SummarisesItselfAsJson) {
  const nlohmann::json summary = to_json(example_manifest(5));
  EXPECT_EQ(summary["shape"], nlohmann::json({5, 3, 5, 6}));
  EXPECT_EQ(summary["labels"][0]["name"], "species");
  EXPECT_EQ(summary["labels"][0]["classes"], 3);
  EXPECT_EQ(summary["labels"][0]["labelled"], 3);
  EXPECT_EQ(summary["labels"][1]["classes"], 9);
  EXPECT_EQ(summary["views"], 2);
}

TEST(Manifest, NamesShards) {
  EXPECT_EQ(shard_path("x/n.h5", 0, 1), "x/n.h5");
  EXPECT_EQ(shard_path("x/n.h5", 1, 4), "x/n.00001-of-00004.h5");
}

}  // namespace
}  // namespace last
