#include "extractor/backbone/position_embedding.h"

#include <algorithm>
#include <string>

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "common/tensor_file/safetensors.h"

namespace last {
namespace {

class Resampling : public testing::TestWithParam<std::string> {};

// From 3x5 to 6x4, by the library that the mode is named after.
TEST_P(Resampling, EqualsItsLibrary) {
  const SafetensorsFile file(
      concat(LAST_SOURCE_DIR, "/tests/extractor/backbone/reference/positions.safetensors"));
  const PosEmbedMode mode = parse_pos_embed_mode(GetParam());
  EXPECT_EQ(to_string(mode), GetParam());
  const at::Tensor found = resample_positions(file.tensor("positions"), 3, 5, 6, 4, mode);
  const at::Tensor expected = file.tensor(GetParam());
  ASSERT_EQ(found.sizes(), expected.sizes());
  EXPECT_LE((found - expected).abs().max().item<float>(), 1e-6F);
}

INSTANTIATE_TEST_SUITE_P(, Resampling,
                         testing::Values("timm", "dino", "transformers", "big-vision", "timm-npz",
                                         "torchvision"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(ResamplePositions, AnUnchangedGridStays) {
  const SafetensorsFile file(
      concat(LAST_SOURCE_DIR, "/tests/extractor/backbone/reference/positions.safetensors"));
  const at::Tensor positions = file.tensor("positions");
  const at::Tensor same = resample_positions(positions, 3, 5, 3, 5, PosEmbedMode::kDino);
  EXPECT_TRUE(same.is_same(positions));
  EXPECT_THROW(parse_pos_embed_mode("bilinear"), UsageError);
}

}  // namespace
}  // namespace last
