#include "common/last/network_file.h"

#include <filesystem>
#include <unistd.h>

#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "common/io/file.h"
#include "common/tensor_file/safetensors.h"
#include "tests/common/last/example_network.h"

namespace last {
namespace {

class NetworkFileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::temp_directory_path() / ("network_file_test_" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    path_ = folder_ / "network.safetensors";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
  std::string path_;
};

TEST_F(NetworkFileTest, GivesBackEverything) {
  for (const auto norm : {FinalNorm::kFrozen, FinalNorm::kTrainable, FinalNorm::kNone}) {
    const auto written = example_network(norm);
    save_network(path_, written);
    const auto read = load_network(path_);
    EXPECT_EQ(read.config, written.config);
    EXPECT_EQ(read.class_names, written.class_names);
    EXPECT_EQ(read.features, written.features);
    EXPECT_EQ(read.backbone.layers, written.backbone.layers);
    const auto expected = written.parameters.named();
    const auto found = read.parameters.named();
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_TRUE(at::equal(found[i].second, expected[i].second)) << found[i].first;
    }
    if (norm == FinalNorm::kFrozen) {
      EXPECT_TRUE(at::equal(read.backbone.norm_weight, written.backbone.norm_weight));
    }
  }
}

TEST_F(NetworkFileTest, StoresProjectionsAsLinearLayersDo) {
  const auto network = example_network(FinalNorm::kFrozen);
  save_network(path_, network);
  const SafetensorsFile file(path_);
  EXPECT_EQ(file.shape("blocks.1.modules.1.key.weight"), (std::vector<int64_t>{4, 16}));
  EXPECT_EQ(file.shape("blocks.0.modules.1.up.weight"), (std::vector<int64_t>{16, 4}));
  // Columns r..2r of the stacked projection are A_K.
  EXPECT_TRUE(at::equal(file.tensor("blocks.1.modules.0.key.weight"),
                        network.parameters.qkv_weight[0][2].narrow(1, 4, 4).t()));
}

TEST_F(NetworkFileTest, RefusesForeignAndDamagedFiles) {
  write_safetensors(path_, {{"a", at::ones({2})}});
  EXPECT_THROW(load_network(path_), Error);
  save_network(path_, example_network(FinalNorm::kFrozen));
  const std::string whole = read_text_file(path_);
  for (const size_t size : {size_t{0}, size_t{7}, size_t{100}, whole.size() - 1}) {
    write_file_atomically(path_, whole.substr(0, size));
    EXPECT_THROW(load_network(path_), Error) << size;
  }
}

}  // namespace
}  // namespace last
