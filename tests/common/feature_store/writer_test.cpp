#include "common/feature_store/writer.h"

#include <filesystem>
#include <limits>
#include <thread>

#include <c10/util/Half.h>
#include <gtest/gtest.h>

#include "tests/common/feature_store/example_store.h"

namespace last {
namespace {

using testing::error_of;
using testing::example_manifest;
using testing::TemporaryFolder;

TEST(Writer, LeavesNothingUnderTheFinalNameBeforeFinish) {
  const TemporaryFolder folder;
  FeatureStoreWriter writer(folder / "a.h5", example_manifest(5));
  testing::write_example_rows(writer, 0, 5);
  EXPECT_FALSE(std::filesystem::exists(folder / "a.h5"));
  EXPECT_TRUE(std::filesystem::exists(folder / "a.h5.partial"));
  writer.finish();
  EXPECT_TRUE(std::filesystem::exists(folder / "a.h5"));
  EXPECT_FALSE(std::filesystem::exists(folder / "a.h5.partial"));
  EXPECT_NE(error_of([&] { testing::write_example_row(writer, 0); }), "");
}

TEST(Writer, RefusesNonFiniteValuesAndSuggestsBf16) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(5);
  FeatureStoreWriter writer(folder / "a.h5", manifest);
  auto row = testing::example_row(manifest, 2);
  auto* values = reinterpret_cast<c10::Half*>(row.data());
  values[(2 * 5 + 3) * 6 + 4] = c10::Half(std::numeric_limits<float>::quiet_NaN());
  const std::string error =
      error_of([&] { writer.write_row(2, row.data(), testing::example_digest(2)); });
  EXPECT_EQ(error,
            "row 2 (\"class 2/bild_ü_2.jpg\"), layer 4, token 3, channel 4: not a finite fp16 "
            "number; fp16 ends at 65504, try --store bf16");
  EXPECT_EQ(writer.state(2), RowState::kAbsent);
}

TEST(Writer, RefusesToFinishWithoutAllRows) {
  const TemporaryFolder folder;
  FeatureStoreWriter writer(folder / "a.h5", example_manifest(5));
  testing::write_example_rows(writer, 0, 4);
  EXPECT_NE(error_of([&] { writer.finish(); }).find("still lacks 1 of 5 rows"), std::string::npos);
  testing::write_example_rows(writer, 4, 5);
  writer.finish();
}

TEST(Writer, RefusesAStoreOfBadImagesOnly) {
  const TemporaryFolder folder;
  FeatureStoreWriter writer(folder / "a.h5", example_manifest(5));
  for (int64_t row = 0; row < 5; ++row) writer.write_bad_row(row, testing::example_digest(row));
  EXPECT_NE(error_of([&] { writer.finish(); }).find("not one of 5 images was readable"),
            std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder / "a.h5"));
}

TEST(Writer, HoldsALockOfItsOwn) {
  const TemporaryFolder folder;
  {
    const FeatureStoreWriter writer(folder / "a.h5", example_manifest(5));
    const std::string error =
        error_of([&] { FeatureStoreWriter(folder / "a.h5", example_manifest(5)); });
    EXPECT_NE(error.find("a.h5.lock\" is locked"), std::string::npos) << error;
  }
  EXPECT_TRUE(FeatureStoreWriter(folder / "a.h5", example_manifest(5)).resumed());
}

TEST(Writer, RefusesAFinishedFile) {
  const TemporaryFolder folder;
  testing::write_example_store(folder / "a.h5", example_manifest(5));
  const std::string error =
      error_of([&] { FeatureStoreWriter(folder / "a.h5", example_manifest(5)); });
  EXPECT_NE(error.find("exists already"), std::string::npos) << error;
}

TEST(Writer, TakesRowsFromSeveralThreadsInAnyOrder) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(64);
  testing::write_example_store(folder / "a.h5", manifest);
  {
    FeatureStoreWriter writer(folder / "b.h5", manifest);
    std::vector<std::thread> threads;
    for (int64_t t = 0; t < 4; ++t) {
      threads.emplace_back([&writer, t] {
        for (int64_t row = 63 - t; row >= 0; row -= 4) testing::write_example_row(writer, row);
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(writer.rows_stored(), 63);
    writer.finish();
  }
  EXPECT_EQ(testing::read_bytes(folder / "a.h5"), testing::read_bytes(folder / "b.h5"));
}

TEST(Writer, GivesTheSameBytesInAnyOrderAndWithRowsWrittenTwice) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(200);
  testing::write_example_store(folder / "a.h5", manifest);
  {
    FeatureStoreWriter writer(folder / "b.h5", manifest);
    for (int64_t row = 199; row >= 0; --row) testing::write_example_row(writer, row);
    writer.finish();
  }
  {
    FeatureStoreWriter writer(folder / "c.h5", manifest);
    testing::write_example_rows(writer, 0, 100);
    const auto other = testing::example_row(manifest, 7);
    writer.write_row(50, other.data(), testing::example_digest(7));
    writer.reset_row(60);
    testing::write_example_rows(writer, 50, 200);
    writer.finish();
  }
  const std::string expected = testing::read_bytes(folder / "a.h5");
  EXPECT_EQ(testing::read_bytes(folder / "b.h5"), expected);
  EXPECT_EQ(testing::read_bytes(folder / "c.h5"), expected);
}

TEST(Writer, KeepsALongConfiguration) {
  const TemporaryFolder folder;
  Manifest manifest = example_manifest(5);
  manifest.config["run"]["note"] = std::string(200000, 'x');  // attributes end at 64 KiB elsewhere
  testing::write_example_store(folder / "a.h5", manifest);
  EXPECT_EQ(FeatureStoreReader(folder / "a.h5").manifest().config, manifest.config);
}

}  // namespace
}  // namespace last
