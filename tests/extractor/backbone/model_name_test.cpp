#include "extractor/backbone/model_name.h"

#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "common/error.h"

namespace last {
namespace {

template <class Call>
std::string error_of(const Call& call) {
  try {
    call();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no error";
}

TEST(ModelName, AcceptsTimmsNames) {
  for (const char* name :
       {"vit_tiny_patch16_224", "vit_base_patch16_224.augreg_in21k", "deit3_medium_patch16_224",
        "vit_base_patch16_clip_quickgelu_224", "vit_so400m_patch14_siglip_gap_378", "flexivit_base",
        "vit_huge_plus_patch16_dinov3_qkvb", "eva02_enormous_patch14_clip_224", "test_vit3",
        "vit_small_patch14_reg4_dinov2", "deit_tiny_distilled_patch16_224", "vit_small_patch8_224",
        "vit_base_patch16_rpn_224", "beit3_giant_patch14_336", "vit_base_patch16_224_miil"}) {
    EXPECT_EQ(error_of([&] { check_model_name(name); }), "no error");
  }
}

TEST(ModelName, RefusesOthersAndNamesTheNearest) {
  for (const auto& [name, part] : {std::pair{"vit_tinny", "did you mean vit_tiny?"},
                                   {"vit_foo_clip_quickgelu", "\"vit_foo\""},
                                   {"vit_tiny_patch16_clip_quikgelu_224", "mean quickgelu?"},
                                   {"vit_tiny_ptach16_224", "mean patch16?"},
                                   {"deitt_base_patch16_224", "mean deit_base?"},
                                   {"vit_", "\"vit_\""},
                                   {"vit_tiny_patch_224", "\"patch\""}}) {
    const std::string error = error_of([name = name] { check_model_name(name); });
    EXPECT_NE(error.find(part), std::string::npos) << name << ": " << error;
  }
}

TEST(ModelName, StatesASize) {
  EXPECT_EQ(error_of([] { check_model_size("vit_giant_patch14_dinov2", 1536, 40); }), "no error");
  const std::string error = error_of([] { check_model_size("vit_tiny_patch16_224", 128, 6); });
  EXPECT_NE(
      error.find("has 192 channels and 12 blocks, the weights have 128 channels and 6 blocks"),
      std::string::npos)
      << error;
}

}  // namespace
}  // namespace last
