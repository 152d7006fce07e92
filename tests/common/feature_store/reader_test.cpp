#include "common/feature_store/reader.h"

#include <cstdlib>
#include <cstring>
#include <thread>

#include <gtest/gtest.h>

#include "tests/common/feature_store/example_store.h"

namespace last {
namespace {

using testing::error_of;
using testing::example_manifest;
using testing::TemporaryFolder;

TEST(Reader, ReturnsTheManifestThatWasWritten) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(9, c10::ScalarType::BFloat16);
  testing::write_example_store(folder / "a.h5", manifest);
  const FeatureStoreReader reader(folder / "a.h5");
  EXPECT_EQ(first_difference(reader.manifest(), manifest), "");
  EXPECT_EQ(reader.manifest().config, manifest.config);
  EXPECT_EQ(reader.stored_rows(), (std::vector<int64_t>{0, 1, 2, 4, 5, 6, 7, 8}));
  EXPECT_EQ(reader.state(3), RowState::kBadImage);
  EXPECT_EQ(reader.image_digest(8), testing::example_digest(8));
  EXPECT_EQ(reader.shard_files(), std::vector<std::string>{folder / "a.h5"});
  EXPECT_TRUE(reader.warnings().empty());
  EXPECT_TRUE(verify_feature_store(folder / "a.h5", nullptr).empty());
}

TEST(Reader, ReadsRowsInTheOrderAskedFor) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(9);
  testing::write_example_store(folder / "a.h5", manifest);
  const FeatureStoreReader reader(folder / "a.h5");
  const std::vector<int64_t> rows = {8, 0, 5, 5};
  const auto row_bytes = static_cast<size_t>(manifest.row_bytes());
  std::vector<char> read(rows.size() * row_bytes);
  reader.read_rows(rows, read.data());
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto expected = testing::example_row(manifest, rows[i]);
    EXPECT_EQ(std::memcmp(read.data() + i * row_bytes, expected.data(), row_bytes), 0) << i;
  }
  const at::Tensor maps = reader.read_row(5);
  EXPECT_EQ(maps.sizes(), (std::vector<int64_t>{3, 5, 6}));
  EXPECT_EQ(maps.scalar_type(), c10::ScalarType::Half);
}

TEST(Reader, RefusesRowsThatHaveNoFeatures) {
  const TemporaryFolder folder;
  testing::write_example_store(folder / "a.h5", example_manifest(9));
  const FeatureStoreReader reader(folder / "a.h5");
  EXPECT_NE(error_of([&] { reader.read_row(3); }).find("is a bad image"), std::string::npos);
  EXPECT_NE(error_of([&] { reader.read_row(9); }).find("no row 9"), std::string::npos);
  EXPECT_NE(error_of([&] { reader.read_row(-1); }).find("no row -1"), std::string::npos);
}

TEST(Reader, HashesWhatTheRowsHold) {
  const TemporaryFolder folder;
  const auto content = [&](const std::string& name, auto change) {
    Manifest manifest = example_manifest(3);
    change(manifest);
    FeatureStoreWriter writer(folder / name, manifest);
    testing::write_example_rows(writer, 0, 3);
    writer.finish();
    return FeatureStoreReader(folder / name).content_sha256();
  };
  const std::string expected = content("a.h5", [](Manifest&) {});
  EXPECT_EQ(expected.size(), 64u);
  EXPECT_EQ(content("b.h5", [](Manifest& m) { m.config["run"]["device"] = "cuda"; }), expected);
  EXPECT_NE(content("c.h5", [](Manifest& m) { m.labels[0].labels[1] = 2; }), expected);
  EXPECT_NE(content("d.h5", [](Manifest& m) { m.labels[0].classes[1] = "Pflaumen"; }), expected);
  EXPECT_NE(content("e.h5", [](Manifest& m) { m.dtype = c10::ScalarType::Float; }), expected);
  FeatureStoreWriter writer(folder / "f.h5", example_manifest(3));
  testing::write_example_rows(writer, 0, 2);
  const auto row = testing::example_row(example_manifest(3), 2);
  writer.write_row(2, row.data(), testing::example_digest(7));
  writer.finish();
  EXPECT_NE(FeatureStoreReader(folder / "f.h5").content_sha256(), expected);
}

TEST(Reader, ServesSeveralThreads) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(64);
  testing::write_example_store(folder / "a.h5", manifest);
  const FeatureStoreReader reader(folder / "a.h5");
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      std::vector<char> data(static_cast<size_t>(manifest.row_bytes()));
      for (const int64_t row : reader.stored_rows()) {
        reader.read_rows({&row, 1}, data.data());
        wrong += data != testing::example_row(manifest, row);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Reader, SaysWhatIsMissing) {
  const TemporaryFolder folder;
  std::string error = error_of([&] { FeatureStoreReader(folder / "a.h5"); });
  EXPECT_NE(error.find("no feature store \"" + (folder / "a.h5")), std::string::npos) << error;
  { const FeatureStoreWriter writer(folder / "a.h5", example_manifest(5)); }
  error = error_of([&] { FeatureStoreReader(folder / "a.h5"); });
  EXPECT_NE(error.find("unfinished"), std::string::npos) << error;
  EXPECT_NE(error.find("resumes"), std::string::npos) << error;
  testing::write_bytes(folder / "b.h5", "not a store");
  error = error_of([&] { FeatureStoreReader(folder / "b.h5"); });
  EXPECT_NE(error.find("damaged, cut off, or no feature store"), std::string::npos) << error;
  EXPECT_FALSE(feature_store_exists(folder / "a.h5"));
  EXPECT_TRUE(feature_store_exists(folder / "b.h5"));
}

class Repacked : public ::testing::TestWithParam<const char*> {};

TEST_P(Repacked, IsReadThroughHdf5WithOneWarning) {
  if (std::system("h5repack --version > /dev/null 2>&1") != 0) {
    GTEST_SKIP() << "h5repack not found (package hdf5-tools)";
  }
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(9);
  testing::write_example_store(folder / "a.h5", manifest);
  const std::string command =
      std::string("h5repack ") + GetParam() + " " + (folder / "a.h5") + " " + (folder / "b.h5");
  ASSERT_EQ(std::system(command.c_str()), 0);
  const FeatureStoreReader reader(folder / "b.h5");
  ASSERT_EQ(reader.warnings().size(), 1u);
  EXPECT_NE(reader.warnings()[0].find("repacked"), std::string::npos);
  EXPECT_EQ(first_difference(reader.manifest(), manifest), "");
  std::vector<char> data(static_cast<size_t>(manifest.row_bytes()));
  for (const int64_t row : reader.stored_rows()) {
    reader.read_rows({&row, 1}, data.data());
    EXPECT_EQ(data, testing::example_row(manifest, row));
  }
  EXPECT_TRUE(verify_feature_store(folder / "b.h5", nullptr).empty());
}

INSTANTIATE_TEST_SUITE_P(Ways, Repacked,
                         ::testing::Values("", "-f /features:GZIP=1", "-l /features:CHUNK=1x3x5x6",
                                           "-L"));

}  // namespace
}  // namespace last
