#include "common/last/bundle.h"

#include <filesystem>
#include <unistd.h>

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "common/io/file.h"
#include "common/tensor_file/safetensors.h"
#include "tests/common/last/example_network.h"

namespace last {
namespace {

class BundleTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("bundle_test_" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    path_ = folder_ / "ensemble.safetensors";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // What load_bundle says of the file; empty where it reads it.
  std::string message() const {
    try {
      load_bundle(path_);
      return "";
    } catch (const Error& error) {
      return error.what();
    }
  }

  std::filesystem::path folder_;
  std::string path_;
};

void expect_equal(const NetworkFile& found, const NetworkFile& expected) {
  EXPECT_EQ(found.config, expected.config);
  EXPECT_EQ(found.target, expected.target);
  EXPECT_EQ(found.class_names, expected.class_names);
  EXPECT_EQ(found.training, expected.training);
  const auto tensors = expected.parameters.named();
  const auto read = found.parameters.named();
  ASSERT_EQ(read.size(), tensors.size());
  for (size_t i = 0; i < read.size(); ++i) {
    EXPECT_TRUE(at::equal(read[i].second, tensors[i].second)) << read[i].first;
  }
}

TEST_F(BundleTest, GivesBackMembersOfDifferentShapes) {
  Bundle bundle{{example_network(FinalNorm::kFrozen), example_network(FinalNorm::kTrainable),
                 example_network(FinalNorm::kNone)}};
  bundle.members[1].training = {{"seed", 7}};
  auto& probe = bundle.members[2];
  probe.config.method = Method::kLinear;
  probe.parameters = make_parameters(1, probe.config, probe.backbone, 3);
  probe.parameters.head_weight.normal_();
  bundle.members.push_back(bundle.members[0]);  // counts twice
  save_bundle(path_, bundle);
  const Bundle read = load_bundle(path_);
  ASSERT_EQ(read.members.size(), 4U);
  for (size_t j = 0; j < 4; ++j) {
    SCOPED_TRACE(j);
    expect_equal(read.members[j], bundle.members[j]);
  }
}

TEST_F(BundleTest, PutsANumberBeforeTheNamesOfANetworkFile) {
  const auto network = example_network(FinalNorm::kFrozen);
  save_bundle(path_, {{network, network}});
  const SafetensorsFile bundle(path_);
  EXPECT_EQ(bundle.metadata().at("format"), "last-ensemble-1");
  const std::string single = folder_ / "network.safetensors";
  save_network(single, network);
  const SafetensorsFile file(single);
  EXPECT_EQ(bundle.names().size(), 2 * file.names().size());
  for (const auto& name : file.names()) {
    EXPECT_TRUE(at::equal(bundle.tensor("networks.1." + name), file.tensor(name))) << name;
  }
}

TEST_F(BundleTest, ReadsANetworkFileAsItsOnlyMember) {
  const auto network = example_network(FinalNorm::kTrainable);
  save_network(path_, network);
  const Bundle read = load_bundle(path_);
  ASSERT_EQ(read.members.size(), 1U);
  expect_equal(read.members[0], network);
}

TEST_F(BundleTest, RefusesMembersThatCannotAnswerTogether) {
  const auto network = example_network(FinalNorm::kFrozen);
  EXPECT_THROW(save_bundle(path_, {}), Error);
  auto other = network;
  other.target = "count";
  EXPECT_THROW(save_bundle(path_, {{network, other}}), Error);
  other = network;
  other.class_names = {"a", "b", "d"};
  EXPECT_THROW(save_bundle(path_, {{network, other}}), Error);
  other = network;
  other.backbone.weights_sha256 = "another";
  EXPECT_THROW(save_bundle(path_, {{network, other}}), Error);
  other = network;
  other.features = {{"preprocessing", {{"resize", {32, 32}}}}};
  EXPECT_THROW(save_bundle(path_, {{network, other}}), Error);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(BundleTest, RefusesDamagedFiles) {
  const auto network = example_network(FinalNorm::kFrozen);
  save_bundle(path_, {{network, network}});
  const std::string whole = read_text_file(path_);
  for (const size_t size : {size_t{0}, size_t{100}, whole.size() - 1}) {
    write_file_atomically(path_, whole.substr(0, size));
    EXPECT_NE(message(), "") << size;
  }
  const SafetensorsFile file([&] {
    write_file_atomically(path_, whole);
    return path_;
  }());
  std::map<std::string, at::Tensor> tensors;
  for (const auto& name : file.names()) tensors[name] = file.tensor(name).clone();
  auto metadata = file.metadata();
  auto fewer = tensors;
  fewer.erase("networks.1.blocks.0.modules.1.up.weight");
  write_safetensors(path_, fewer, metadata);
  EXPECT_NE(message().find("networks.1.blocks.0.modules.1.up.weight"), std::string::npos);
  metadata["last"] = R"({"networks": []})";
  write_safetensors(path_, tensors, metadata);
  EXPECT_NE(message().find("at least one network"), std::string::npos) << message();
  metadata["last"] = R"({"networks": [3]})";
  write_safetensors(path_, tensors, metadata);
  EXPECT_NE(message().find("damaged"), std::string::npos) << message();
  metadata.erase("last");
  write_safetensors(path_, tensors, metadata);
  EXPECT_NE(message().find("no \"last\""), std::string::npos) << message();
}

}  // namespace
}  // namespace last
