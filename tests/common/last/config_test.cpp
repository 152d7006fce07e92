#include "common/last/config.h"

#include <gtest/gtest.h>

#include "common/error.h"

namespace last {
namespace {

BackboneInfo backbone_with_layers(std::vector<int64_t> layers) {
  BackboneInfo b;
  b.depth = 12;
  b.dim = 32;
  b.tokens = 17;
  b.prefix_tokens = 1;
  b.has_cls_token = true;
  b.layers = std::move(layers);
  return b;
}

template <class Exception>
std::string message_of(const NetworkConfig& config, const BackboneInfo& backbone) {
  try {
    check_network_config(config, backbone);
  } catch (const Exception& error) {
    return error.what();
  }
  return "no such error";
}

TEST(NetworkConfig, ReadsTheMapsOfItsGap) {
  NetworkConfig config;
  config.gap = 4;
  EXPECT_EQ(needed_maps(config, backbone_with_layers({0, 2, 4, 6, 8, 10, 12})),
            (std::vector<int64_t>{0, 2, 4, 6}));
  config.method = Method::kLinear;
  EXPECT_EQ(needed_maps(config, backbone_with_layers({6, 12})), (std::vector<int64_t>{1}));
}

TEST(NetworkConfig, NamesTheGapsThatAreStored) {
  NetworkConfig config;
  config.gap = 3;
  const auto message = message_of<Error>(config, backbone_with_layers({0, 4, 8, 12}));
  EXPECT_NE(message.find("z_3"), std::string::npos) << message;
  EXPECT_NE(message.find("4, 12"), std::string::npos) << message;
}

TEST(NetworkConfig, RefusesWhatCannotBeMeant) {
  const auto backbone = backbone_with_layers({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  NetworkConfig config;
  config.gap = 5;
  EXPECT_EQ(message_of<UsageError>(config, backbone),
            "gap 5 does not divide the backbone's 12 blocks");
  config = {};
  config.heads = 3;
  EXPECT_EQ(message_of<UsageError>(config, backbone), "heads 3 does not divide rank 16");
  config = {};
  config.heads = 0;
  EXPECT_EQ(message_of<UsageError>(config, backbone), "heads must be at least 1, not 0");
  config.method = Method::kLinear;  // whose engine lays out memory with it all the same
  EXPECT_EQ(message_of<UsageError>(config, backbone), "heads must be at least 1, not 0");
  config = {};
  config.rank = 64;
  EXPECT_NE(message_of<UsageError>(config, backbone).find("larger"), std::string::npos);
  config = {};
  config.pool = Pool::kCls;
  auto without_cls = backbone;
  without_cls.has_cls_token = false;
  EXPECT_NE(message_of<Error>(config, without_cls).find("cls"), std::string::npos);
  EXPECT_THROW(parse_variant("e"), UsageError);
}

TEST(NetworkConfig, SurvivesJson) {
  NetworkConfig config;
  config.variant = Variant::kC;
  config.rank = 8;
  config.biases = true;
  config.norm = FinalNorm::kNone;
  EXPECT_EQ(network_config_from_json(to_json(config)), config);
}

}  // namespace
}  // namespace last
