#include <cmath>
#include <cstring>
#include <filesystem>

#include <gtest/gtest.h>

#include "tests/common/feature_store/example_store.h"

namespace last {
namespace {

using testing::error_of;
using testing::example_manifest;
using testing::TemporaryFolder;

// Rows [begin, end) of `whole` as a shard of its own.
Manifest cut(const Manifest& whole, int64_t begin, int64_t end, int64_t index, int64_t count) {
  Manifest part = whole;
  part.rows = end - begin;
  part.first_row = begin;
  part.shard_index = index;
  part.shard_count = count;
  part.sample_ids.assign(whole.sample_ids.begin() + begin, whole.sample_ids.begin() + end);
  part.views.assign(whole.views.begin() + begin, whole.views.begin() + end);
  for (size_t c = 0; c < whole.labels.size(); ++c) {
    const auto& labels = whole.labels[c].labels;
    part.labels[c].labels.assign(labels.begin() + begin, labels.begin() + end);
  }
  return part;
}

void write_shard(const std::string& path, const Manifest& part, int64_t begin) {
  FeatureStoreWriter writer(shard_path(path, part.shard_index, part.shard_count), part);
  for (int64_t row = 0; row < part.rows; ++row) {
    if (begin + row == 3) {
      writer.write_bad_row(row, testing::example_digest(3));
    } else {
      writer.write_row(row, testing::example_row(part, begin + row).data(),
                       testing::example_digest(begin + row));
    }
  }
  writer.finish();
}

struct ThreeShards : ::testing::Test {
  void SetUp() override {
    write_shard(path, cut(whole, 0, 4, 0, 3), 0);
    write_shard(path, cut(whole, 4, 8, 1, 3), 4);
    write_shard(path, cut(whole, 8, 10, 2, 3), 8);
  }

  std::string open_error() {
    return error_of([&] { FeatureStoreReader{path}; });
  }

  TemporaryFolder folder;
  std::string path = folder / "a.h5";
  Manifest whole = example_manifest(10);
};

TEST_F(ThreeShards, AreReadAsOneStore) {
  EXPECT_TRUE(feature_store_exists(path));
  const FeatureStoreReader joined(path);
  testing::write_example_store(folder / "whole.h5", whole);
  const FeatureStoreReader single(folder / "whole.h5");
  Manifest manifest = joined.manifest();
  EXPECT_EQ(manifest.shard_count, 3);
  EXPECT_EQ(manifest.first_row, 0);
  EXPECT_EQ(manifest.total_rows, 10);
  manifest.shard_count = 1;
  EXPECT_EQ(first_difference(manifest, whole), "");
  EXPECT_EQ(joined.shard_files().size(), 3u);
  EXPECT_EQ(joined.stored_rows(), single.stored_rows());
  EXPECT_EQ(joined.content_sha256(), single.content_sha256());
  for (const int64_t row : joined.stored_rows()) {
    EXPECT_EQ(joined.image_digest(row), testing::example_digest(row));
    const at::Tensor maps = joined.read_row(row);
    const auto expected = testing::example_row(whole, row);
    EXPECT_EQ(std::memcmp(maps.data_ptr(), expected.data(), expected.size()), 0);
  }
  const StoreStatistics a = joined.statistics();
  const StoreStatistics b = single.statistics();
  for (int64_t c = 0; c < 18; ++c) {
    EXPECT_NEAR(a.mean.data_ptr<float>()[c], b.mean.data_ptr<float>()[c], 1e-6);
    EXPECT_NEAR(a.std.data_ptr<float>()[c], b.std.data_ptr<float>()[c], 1e-6);
  }
}

TEST_F(ThreeShards, AShardByItsOwnNameIsReadWithAWarning) {
  const FeatureStoreReader reader(shard_path(path, 1, 3));
  EXPECT_EQ(reader.manifest().rows, 4);
  EXPECT_EQ(first_difference(reader.manifest(), cut(whole, 4, 8, 1, 3)), "");
  ASSERT_EQ(reader.warnings().size(), 1u);
  EXPECT_NE(reader.warnings()[0].find("is shard 1 of 3"), std::string::npos);
}

TEST_F(ThreeShards, AMissingOneIsNamed) {
  std::filesystem::remove(shard_path(path, 1, 3));
  EXPECT_NE(open_error().find("shard 1 of 3 is missing"), std::string::npos) << open_error();
  { const FeatureStoreWriter writer(shard_path(path, 1, 3), cut(whole, 4, 8, 1, 3)); }
  EXPECT_NE(open_error().find("shard 1 of 3 is unfinished"), std::string::npos) << open_error();
}

TEST_F(ThreeShards, AForeignOneIsNamed) {
  std::filesystem::remove(shard_path(path, 1, 3));
  Manifest foreign = cut(whole, 4, 8, 1, 3);
  foreign.config["features"]["preprocessing"]["resize"] = {256, 256};
  write_shard(path, foreign, 4);
  std::string error = open_error();
  EXPECT_NE(error.find("00001-of-00003.h5\" does not belong to"), std::string::npos) << error;
  EXPECT_NE(error.find("preprocessing.resize: [224,224]"), std::string::npos) << error;

  std::filesystem::remove(shard_path(path, 1, 3));
  foreign = cut(whole, 4, 8, 1, 3);
  foreign.image_list_sha256 = std::string(64, 'c');
  write_shard(path, foreign, 4);
  error = open_error();
  EXPECT_NE(error.find("different image lists"), std::string::npos) << error;
}

// Batches of another size cut the list at other rows.
TEST_F(ThreeShards, OfOtherBatchesAreNamed) {
  whole.config["run"]["batch_size"] = 5;
  std::filesystem::remove(shard_path(path, 1, 3));
  write_shard(path, cut(whole, 5, 10, 1, 3), 5);
  const std::string error = open_error();
  EXPECT_NE(error.find("00001-of-00003.h5\" does not belong to"), std::string::npos) << error;
  EXPECT_NE(error.find("batch_size: 4 in the first shard, 5 in this one"), std::string::npos)
      << error;
}

TEST_F(ThreeShards, ThatLeaveRowsOutOrHoldThemTwiceAreNamed) {
  const auto error_with = [&](int64_t shard, int64_t begin, int64_t end) {
    std::filesystem::remove(shard_path(path, shard, 3));
    write_shard(path, cut(whole, begin, end, shard, 3), begin);
    const std::string error = open_error();
    const auto damage = verify_feature_store(path, nullptr);
    EXPECT_EQ(damage, std::vector<std::string>{error});
    std::filesystem::remove(shard_path(path, shard, 3));
    const std::vector<int64_t> cuts = {0, 4, 8, 10};
    const auto i = static_cast<size_t>(shard);
    write_shard(path, cut(whole, cuts[i], cuts[i + 1], shard, 3), cuts[i]);
    EXPECT_EQ(open_error(), "");
    return error;
  };
  const auto expect = [](const std::string& error, const std::string& part) {
    EXPECT_NE(error.find(part), std::string::npos) << error;
  };
  expect(error_with(1, 5, 8), "of 10 rows, 4 to 4 lie in no shard, between \"");
  expect(error_with(1, 5, 8), "00001-of-00003.h5\"; extract all of them");
  expect(error_with(1, 3, 8), "of 10 rows, 3 to 3 lie in two, \"");
  expect(error_with(1, 4, 7), "of 10 rows, 7 to 7 lie in no shard, between \"");
  expect(error_with(0, 1, 4), "of 10 rows, 0 to 0 lie in no shard, between the start of the list");
  expect(error_with(2, 8, 9), "of 10 rows, 9 to 9 lie in no shard, between \"");
  expect(error_with(2, 8, 9), "and the end of the list");
}

TEST_F(ThreeShards, ARenamedOneIsNamed) {
  std::filesystem::rename(shard_path(path, 1, 3), shard_path(path, 0, 3));
  std::filesystem::copy_file(shard_path(path, 0, 3), shard_path(path, 1, 3));
  EXPECT_NE(open_error().find("00000-of-00003.h5\" is shard 1 of 3"), std::string::npos)
      << open_error();
}

TEST_F(ThreeShards, BesideAWholeFileAreRefused) {
  const std::string error = error_of([&] { FeatureStoreWriter(path, whole); });
  EXPECT_NE(error.find("cut in 3, and this run makes one file"), std::string::npos) << error;
  testing::write_example_store(folder / "b.h5", whole);
  std::filesystem::rename(folder / "b.h5", path);
  EXPECT_NE(open_error().find("both"), std::string::npos) << open_error();
}

TEST_F(ThreeShards, OfAnotherCountAreRefused) {
  const std::string error =
      error_of([&] { FeatureStoreWriter(shard_path(path, 0, 2), cut(whole, 0, 4, 0, 2)); });
  EXPECT_NE(error.find("cut in 3, and this run makes 2 shards"), std::string::npos) << error;
}

}  // namespace
}  // namespace last
