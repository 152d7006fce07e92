#include "extractor/backbone/state_dict.h"

#include <string>
#include <vector>

#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "extractor/backbone/fuse_rows.h"

namespace last {
namespace {

TEST(StateDict, PrefixesAreTakenOff) {
  const at::Tensor x = at::zeros({1});
  const StateDict inside = below_prefix({{"a.x", {x, "a.x"}}, {"ab.x", {x, "ab.x"}}}, "a.");
  ASSERT_EQ(inside.size(), 1U);
  EXPECT_EQ(inside.at("x").origin, "a.x");
}

TEST(StateDict, TwoTensorsOfOneNameAreRefused) {
  const at::Tensor x = at::zeros({1});
  EXPECT_THROW(renamed({{"a.x", {x, "a.x"}}, {"b.x", {x, "b.x"}}}, {{"a.", "b."}}), Error);
}

TEST(StateDict, QueryKeyAndValueBecomeOne) {
  StateDict tensors;
  const std::string attention = "blocks.0.attn.";
  float value = 1;
  for (const char* part : {"q", "k", "v"}) {
    tensors[attention + part + ".weight"] = {at::full({2, 2}, value), part};
    // no bias of the keys, as in EVA
    if (std::string(part) != "k") {
      tensors[attention + part + ".bias"] = {at::full({2}, value), part};
    }
    ++value;
  }
  fuse_rows(tensors, ".attn.", {"q", "k", "v"}, "qkv", /*without_bias=*/"k");
  ASSERT_EQ(tensors.size(), 2U);
  const at::Tensor weight = tensors.at(attention + "qkv.weight").read();
  EXPECT_EQ(weight[0][0].item<float>(), 1);
  EXPECT_EQ(weight[2][0].item<float>(), 2);
  EXPECT_EQ(weight[5][1].item<float>(), 3);
  const at::Tensor bias = tensors.at(attention + "qkv.bias").read();
  EXPECT_EQ(bias[2].item<float>(), 0);
  EXPECT_EQ(bias[4].item<float>(), 3);
}

TEST(StateDict, AMissingPartIsAnError) {
  StateDict tensors{{"blocks.0.attn.q.weight", {at::zeros({2, 2}), "query"}},
                    {"blocks.0.attn.k.weight", {at::zeros({2, 2}), "key"}}};
  EXPECT_THROW(fuse_rows(tensors, ".attn.", {"q", "k", "v"}, "qkv"), Error);
  tensors = {{"blocks.0.mlp.gate.weight", {at::zeros({2, 2}), "gate"}},
             {"blocks.0.mlp.up.weight", {at::zeros({2, 3}), "up"}}};
  EXPECT_THROW(fuse_rows(tensors, ".mlp.", {"gate", "up"}, "fc1"), Error);
}

// Its bias asks for 4 TiB of zeros beside it.
TEST(StateDict, ABiasOfManyDimensionsIsAnError) {
  StateDict tensors;
  for (const char* part : {"q", "k", "v"}) {
    tensors[concat("blocks.0.attn.", part, ".weight")] = {at::zeros({2, 2}), part};
  }
  tensors["blocks.0.attn.q.bias"] =
      tensors["blocks.0.attn.v.bias"] = {at::zeros({int64_t{1} << 40, 0}), "bias"};
  EXPECT_THROW(fuse_rows(tensors, ".attn.", {"q", "k", "v"}, "qkv", "k"), Error);
}

TEST(NearestName, IsNearOrNone) {
  const std::vector<std::string> names{"norm.weight", "norm.bias", "head.weight"};
  EXPECT_EQ(nearest_name("norm.wieght", names), "norm.weight");
  EXPECT_EQ(nearest_name("blocks.0.mlp", names), "");
}

}  // namespace
}  // namespace last
