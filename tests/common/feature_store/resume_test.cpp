#include <algorithm>
#include <filesystem>
#include <memory>

#include <gtest/gtest.h>

#include "common/error.h"
#include "common/feature_store/footer.h"
#include "common/io/file.h"
#include "tests/common/feature_store/example_store.h"
#include "tests/damage.h"

namespace last {
namespace {

using testing::error_of;
using testing::example_manifest;
using testing::TemporaryFolder;

// Of an unfinished file: what its footer leaves out.
std::vector<Extent> changing_parts(const std::string& path) {
  return read_footer(File::open_read(path))->excluded;
}

// Where the parts with `row_bytes` for each row lie.
std::vector<uint64_t> offsets_of(const std::string& path, int64_t rows, int64_t row_bytes) {
  std::vector<uint64_t> offsets;
  for (const Extent& extent : changing_parts(path)) {
    if (extent.size == static_cast<uint64_t>(rows * row_bytes)) offsets.push_back(extent.offset);
  }
  return offsets;
}

uint64_t features_offset(const std::string& path, const Manifest& manifest) {
  return offsets_of(path, manifest.rows, manifest.row_bytes()).at(0);
}

void finish_missing_rows(const std::string& path, const Manifest& manifest) {
  FeatureStoreWriter writer(path, manifest);
  EXPECT_TRUE(writer.resumed());
  for (int64_t row = 0; row < manifest.rows; ++row) {
    if (writer.state(row) == RowState::kAbsent) testing::write_example_row(writer, row);
  }
  writer.finish();
}

TEST(Resume, GivesTheBytesOfAnUninterruptedRun) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(9);
  testing::write_example_store(folder / "whole.h5", manifest);
  const std::string expected = testing::read_bytes(folder / "whole.h5");
  for (int64_t stop = 0; stop <= 9; ++stop) {
    const std::string path = folder / ("stopped" + std::to_string(stop) + ".h5");
    {
      FeatureStoreWriter writer(path, manifest);
      testing::write_example_rows(writer, 0, stop);
    }
    finish_missing_rows(path, manifest);
    EXPECT_EQ(testing::read_bytes(path), expected) << "stopped after " << stop << " rows";
  }
}

TEST(Resume, GoesOnBetweenFooterAndRename) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(9);
  testing::write_example_store(folder / "a.h5", manifest);
  const std::string expected = testing::read_bytes(folder / "a.h5");
  std::filesystem::rename(folder / "a.h5", folder / "a.h5.partial");
  finish_missing_rows(folder / "a.h5", manifest);
  EXPECT_EQ(testing::read_bytes(folder / "a.h5"), expected);
}

TEST(Resume, IgnoresALeftoverOfCreation) {
  const TemporaryFolder folder;
  testing::write_bytes(folder / "a.h5.partial.tmp", "half a file");
  testing::write_example_store(folder / "a.h5", example_manifest(9));
  EXPECT_FALSE(std::filesystem::exists(folder / "a.h5.partial.tmp"));
}

TEST(Resume, DropsRowsThatDoNotMatchTheirChecksumAndBadRows) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(9);
  {
    FeatureStoreWriter writer(folder / "a.h5", manifest);
    testing::write_example_rows(writer, 0, 6);
  }
  const std::string partial = folder / "a.h5.partial";
  testing::flip_byte(partial, features_offset(partial, manifest) +
                                  static_cast<uint64_t>(manifest.row_bytes()) * 4 + 11);
  FeatureStoreWriter writer(folder / "a.h5", manifest);
  EXPECT_EQ(writer.state(2), RowState::kStored);
  EXPECT_EQ(writer.state(3), RowState::kAbsent);
  EXPECT_EQ(writer.state(4), RowState::kAbsent);
  EXPECT_EQ(writer.state(5), RowState::kStored);
  EXPECT_EQ(writer.rows_stored(), 4);
  EXPECT_EQ(writer.image_digest(5), testing::example_digest(5));
}

// The order in which the pages of a file reach the disk is the system's.
TEST(Resume, DropsRowsOfWhichAPowerLossTookAPart) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(9);
  const std::string path = folder / "a.h5", partial = path + ".partial";
  testing::write_example_store(folder / "whole.h5", manifest);
  {
    FeatureStoreWriter writer(path, manifest);
    testing::write_example_rows(writer, 0, 9);
  }
  const std::string intact = testing::read_bytes(partial);
  const uint64_t digests = offsets_of(partial, 9, 32).at(0);
  const auto crcs_and_checks = offsets_of(partial, 9, 4);
  ASSERT_EQ(crcs_and_checks.size(), 2u);
  const auto state_of_row_5 = [&](const std::string& damaged) {
    testing::write_bytes(partial, damaged);
    const RowState state = FeatureStoreWriter(path, manifest).state(5);
    finish_missing_rows(path, manifest);
    EXPECT_EQ(testing::read_bytes(path), testing::read_bytes(folder / "whole.h5"));
    std::filesystem::remove(path);
    return state;
  };
  EXPECT_EQ(state_of_row_5(intact), RowState::kStored);
  std::string damaged = intact;
  damaged.replace(digests + 5 * 32, 32, 32, '\0');  // never written
  EXPECT_EQ(state_of_row_5(damaged), RowState::kAbsent);
  damaged = intact;
  damaged.replace(digests + 5 * 32, 32, intact, digests + 6 * 32, 32);  // of an earlier image
  EXPECT_EQ(state_of_row_5(damaged), RowState::kAbsent);
  for (const uint64_t part : crcs_and_checks) {
    damaged = intact;
    damaged.replace(part + 5 * 4, 4, 4, '\0');
    EXPECT_EQ(state_of_row_5(damaged), RowState::kAbsent);
  }
}

// The zeros of a bad row have a CRC of their own, which is right.
TEST(Resume, DoesNotTakeABadRowForAStoredOne) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(9);
  const std::string partial = folder / "a.h5.partial";
  {
    FeatureStoreWriter writer(folder / "a.h5", manifest);
    testing::write_example_rows(writer, 0, 6);
  }
  std::string bytes = testing::read_bytes(partial);
  const uint64_t states = offsets_of(partial, 9, 1).at(0);
  ASSERT_EQ(bytes[states + 3], 2);
  bytes[states + 3] = bytes[states + 7] = 1;  // row 7 was never written
  testing::write_bytes(partial, bytes);
  const FeatureStoreWriter writer(folder / "a.h5", manifest);
  EXPECT_EQ(writer.state(3), RowState::kAbsent);
  EXPECT_EQ(writer.state(7), RowState::kAbsent);
  EXPECT_EQ(writer.rows_stored(), 5);
}

TEST(Resume, AfterAnyDamageGivesTheSameBytesOrNamesTheFile) {
  const TemporaryFolder folder;
  Manifest manifest = example_manifest(9);
  manifest.thumbnail_size = 2;
  const std::string path = folder / "a.h5", partial = path + ".partial";
  testing::write_example_store(folder / "whole.h5", manifest);
  const std::string expected = testing::read_bytes(folder / "whole.h5");
  {
    FeatureStoreWriter writer(path, manifest);
    testing::write_example_rows(writer, 0, 6);
  }
  int refused = 0, finished = 0;
  ::testing::internal::CaptureStderr();
  for_each_damage(testing::read_bytes(partial), 500, 50,
                  [&](const std::string& bytes, const std::string& what) {
                    overwrite(partial, bytes);
                    const std::string error =
                        error_of([&] { finish_missing_rows(path, manifest); });
                    if (error.empty()) {
                      ++finished;
                      ASSERT_EQ(testing::read_bytes(path), expected) << what;
                      std::filesystem::remove(path);
                    } else {
                      ++refused;
                      ASSERT_NE(error.find("can't resume"), std::string::npos) << error;
                      ASSERT_NE(error.find(partial), std::string::npos) << what << ": " << error;
                      ASSERT_FALSE(std::filesystem::exists(path)) << what;
                    }
                  });
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_GT(refused, 100);
  EXPECT_GT(finished, 30);
}

TEST(Resume, TellsHowFarItIsAndCanBeStopped) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(200);
  testing::write_example_store(folder / "whole.h5", manifest);
  {
    FeatureStoreWriter writer(folder / "a.h5", manifest);
    testing::write_example_rows(writer, 0, 150);
  }
  const auto stop = [](int64_t, int64_t) { throw Interrupted("stopped"); };
  EXPECT_THROW(FeatureStoreWriter(folder / "a.h5", manifest, stop), Interrupted);
  std::vector<int64_t> seen;
  const auto see = [&](int64_t done, int64_t total) {
    EXPECT_LE(done, total);
    seen.push_back(done);
  };
  FeatureStoreWriter writer(folder / "a.h5", manifest, see);
  EXPECT_TRUE(std::ranges::is_sorted(seen));
  // With the row that is not as it should be, unless the check that was stopped had come to it.
  EXPECT_TRUE(seen.back() == 150 || seen.back() == 149) << seen.back();
  EXPECT_EQ(writer.rows_stored(), 149);
  testing::write_example_row(writer, 3);
  testing::write_example_rows(writer, 150, 200);
  EXPECT_THROW(writer.finish(stop), Interrupted);
  EXPECT_FALSE(std::filesystem::exists(folder / "a.h5"));
  writer.finish(see);
  EXPECT_EQ(seen.back(), 199);
  EXPECT_EQ(testing::read_bytes(folder / "a.h5"), testing::read_bytes(folder / "whole.h5"));
}

TEST(Resume, ComputesARowAgainThatWasReset) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(5);
  {
    FeatureStoreWriter writer(folder / "a.h5", manifest);
    testing::write_example_rows(writer, 0, 5);
  }
  {
    FeatureStoreWriter writer(folder / "a.h5", manifest);
    writer.reset_row(1);
    EXPECT_EQ(writer.state(1), RowState::kAbsent);
    EXPECT_EQ(writer.rows_stored(), 3);
  }
  FeatureStoreWriter writer(folder / "a.h5", manifest);
  EXPECT_EQ(writer.state(1), RowState::kAbsent);
}

TEST(Resume, ReplacesAFileOfOtherOptionsThatHoldsNoRow) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(5);
  const Manifest other = example_manifest(5, c10::ScalarType::BFloat16);
  { FeatureStoreWriter(folder / "a.h5", manifest).write_bad_row(0, {}); }
  {
    FeatureStoreWriter writer(folder / "a.h5", other);
    EXPECT_FALSE(writer.resumed());
    testing::write_example_rows(writer, 0, 1);
  }
  const std::string error = error_of([&] { FeatureStoreWriter(folder / "a.h5", manifest); });
  EXPECT_NE(error.find("feature type: \"bf16\" in the store, \"fp16\" now"), std::string::npos)
      << error;
  EXPECT_NE(error.find("delete \"" + (folder / "a.h5.partial") + "\""), std::string::npos) << error;
}

TEST(Resume, NamesTheDifferenceToAnotherRun) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(5);
  {
    FeatureStoreWriter writer(folder / "a.h5", manifest);
    testing::write_example_rows(writer, 0, 1);
  }
  Manifest other = manifest;
  other.config["features"]["preprocessing"]["resize"] = {256, 256};
  std::string error = error_of([&] { FeatureStoreWriter(folder / "a.h5", other); });
  EXPECT_NE(error.find("preprocessing.resize: [224,224] in the store, [256,256] now"),
            std::string::npos)
      << error;
  other = manifest;
  other.config["run"]["batch_size"] = 5;
  error = error_of([&] { FeatureStoreWriter(folder / "a.h5", other); });
  EXPECT_NE(error.find("batch_size: 4 in the store, 5 now"), std::string::npos) << error;
}

TEST(Resume, KeepsTheConfigurationOfTheRunThatStoredTheFirstRow) {
  const TemporaryFolder folder;
  const Manifest first = example_manifest(5);
  Manifest second = first, third = first;
  second.config["run"]["device"] = "cuda";
  third.config["run"]["device"] = "cuda:1";
  { const FeatureStoreWriter writer(folder / "a.h5", first); }
  {
    FeatureStoreWriter writer(folder / "a.h5", second);
    EXPECT_EQ(writer.manifest().config, second.config);
    testing::write_example_rows(writer, 0, 1);
  }
  EXPECT_EQ(FeatureStoreWriter(folder / "a.h5", third).manifest().config, second.config);
}

TEST(Resume, RefusesDamagedMetadataAndSaysToDeleteIt) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(5);
  { const FeatureStoreWriter writer(folder / "a.h5", manifest); }
  const std::string partial = folder / "a.h5.partial";
  const std::string intact = testing::read_bytes(partial);
  const auto parts = changing_parts(partial);
  for (uint64_t offset = 0; offset < intact.size(); offset += 37) {
    bool changing = false;
    for (const Extent& part : parts) changing |= offset >= part.offset && offset < part.end();
    if (changing) continue;
    testing::write_bytes(partial, intact);
    testing::flip_byte(partial, offset);
    const std::string error = error_of([&] { FeatureStoreWriter(folder / "a.h5", manifest); });
    ASSERT_NE(error.find("can't resume"), std::string::npos) << offset << ": " << error;
    ASSERT_NE(error.find("delete \"" + partial + "\""), std::string::npos) << error;
  }
  for (const size_t size : {size_t{0}, size_t{100}, intact.size() / 2, intact.size() - 1}) {
    testing::write_bytes(partial, intact.substr(0, size));
    const std::string error = error_of([&] { FeatureStoreWriter(folder / "a.h5", manifest); });
    EXPECT_NE(error.find("can't resume"), std::string::npos) << size << ": " << error;
  }
}

}  // namespace
}  // namespace last
