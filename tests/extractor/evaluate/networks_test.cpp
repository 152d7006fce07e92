#include "extractor/evaluate/networks.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "tests/common/feature_store/example_store.h"
#include "tests/extractor/evaluate/example_bundle.h"

namespace last {
namespace {

std::vector<std::string> names(const std::vector<NamedBundle>& bundles) {
  std::vector<std::string> found;
  for (const auto& bundle : bundles) found.push_back(bundle.name);
  return found;
}

struct Runs : ::testing::Test {
  void SetUp() override {
    for (const char* run : {"a", "b"})
      std::filesystem::create_directories(folder / run + "/networks");
    const auto network = random_network({}, 2);
    for (const char* name : {"a/networks/10", "a/networks/9", "a/best.shape", "b/networks/9"}) {
      save_network(folder / name + ".safetensors", network);
    }
    save_bundle(folder / "a/ensemble.shape.safetensors", {{network, network}});
  }
  testing::TemporaryFolder folder;
};

TEST_F(Runs, StandForTheirNetworksByNumberAndTheirEnsembles) {
  const auto bundles = load_networks({folder / "a"});
  EXPECT_EQ(names(bundles), (std::vector<std::string>{"9", "10", "ensemble.shape"}));
  EXPECT_EQ(bundles[2].bundle.members.size(), 2u);
}

TEST_F(Runs, AreToldApartWhereTheirNetworksHaveOneName) {
  EXPECT_EQ(names(load_networks({folder / "b", folder / "a"})),
            (std::vector<std::string>{folder / "b/9", folder / "a/9", "10", "ensemble.shape"}));
}

TEST_F(Runs, NeedNetworks) {
  std::filesystem::remove(folder / "b/networks/9.safetensors");
  const auto message = testing::error_of([&] { load_networks({folder / "b"}); });
  EXPECT_NE(message.find("holds no networks/*.safetensors"), std::string::npos) << message;
}

TEST_F(Runs, AndFilesAreNotToBeNamedTwice) {
  const auto message = testing::error_of([&] {
    load_networks({folder / "a", folder / "a/../a/networks/9.safetensors"});
  });
  EXPECT_NE(message.find("named twice"), std::string::npos) << message;
}

}  // namespace
}  // namespace last
