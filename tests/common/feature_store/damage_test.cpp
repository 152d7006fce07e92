#include "tests/damage.h"

#include <gtest/gtest.h>

#include "common/error.h"
#include "common/feature_store/footer.h"
#include "common/io/file.h"
#include "tests/common/feature_store/example_store.h"

namespace last {
namespace {

using testing::error_of;
using testing::example_manifest;
using testing::TemporaryFolder;

Extent features_of(const std::string& path) {
  return read_footer(File::open_read(path))->excluded[0];
}

TEST(Damage, OfARowNamesFileRowAndChecksums) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(9);
  testing::write_example_store(folder / "a.h5", manifest);
  testing::flip_byte(folder / "a.h5", features_of(folder / "a.h5").offset +
                                          static_cast<uint64_t>(manifest.row_bytes()) * 5 + 1);
  const FeatureStoreReader reader(folder / "a.h5");
  reader.read_row(4);
  const std::string error = error_of([&] { reader.read_row(5); });
  EXPECT_NE(error.find("a.h5\": row 5 (\"class 2/bild_ü_5.jpg\") is damaged: CRC-32C 0x"),
            std::string::npos)
      << error;
  EXPECT_NE(error.find("expected, 0x"), std::string::npos) << error;
  int64_t rows = 0;
  const auto lines =
      verify_feature_store(folder / "a.h5", [&](int64_t checked) { rows = checked; });
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(lines[0].find("row 5 ("), std::string::npos) << lines[0];
  EXPECT_EQ(rows, 9);
}

TEST(Damage, OfALabelIsFoundBeforeItIsUsed) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(9);
  testing::write_example_store(folder / "a.h5", manifest);
  const std::string bytes = testing::read_bytes(folder / "a.h5");
  const auto& labels = manifest.labels[1].labels;
  const std::string pattern(reinterpret_cast<const char*>(labels.data()), labels.size() * 4);
  const size_t offset = bytes.find(pattern);
  ASSERT_NE(offset, std::string::npos);
  testing::flip_byte(folder / "a.h5", offset + 8);
  const std::string error = error_of([&] { FeatureStoreReader(folder / "a.h5"); });
  EXPECT_NE(error.find("the bytes outside its rows have CRC-32C"), std::string::npos) << error;
}

TEST(Damage, ByCuttingOffIsFound) {
  const TemporaryFolder folder;
  testing::write_example_store(folder / "a.h5", example_manifest(9));
  const std::string bytes = testing::read_bytes(folder / "a.h5");
  const Extent features = features_of(folder / "a.h5");
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{511}, size_t{512}, size_t{4096}, features.offset,
        features.offset + features.size / 2, bytes.size() - 4096, bytes.size() - 513,
        bytes.size() - 512, bytes.size() - 511, bytes.size() - 1}) {
    testing::write_bytes(folder / "a.h5", bytes.substr(0, size));
    const std::string error = error_of([&] { FeatureStoreReader(folder / "a.h5"); });
    EXPECT_NE(error.find("a.h5\" is damaged"), std::string::npos) << size << ": " << error;
  }
  testing::write_bytes(folder / "a.h5", bytes + "x");
  EXPECT_NE(error_of([&] { FeatureStoreReader(folder / "a.h5"); }).find("damaged"),
            std::string::npos);
}

// Without a word from HDF5, which would print its own diagnostics.
TEST(Damage, OfAnySingleByteAndByAnyTruncationIsFound) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  testing::write_example_store(path, example_manifest(9));
  ::testing::internal::CaptureStderr();
  for_each_damage(testing::read_bytes(path), 500, 50,
                  [&](const std::string& bytes, const std::string& what) {
                    testing::write_bytes(path, bytes);
                    const auto lines = verify_feature_store(path, nullptr);
                    ASSERT_FALSE(lines.empty()) << what;
                    EXPECT_NE(lines[0].find(path), std::string::npos) << what << ": " << lines[0];
                  });
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(Damage, IsNotAnInterruptedCheck) {
  const TemporaryFolder folder;
  testing::write_example_store(folder / "a.h5", example_manifest(4));
  const auto stop = [](int64_t) { throw Interrupted("stopped"); };
  EXPECT_THROW(verify_feature_store(folder / "a.h5", stop), Interrupted);
}

TEST(Damage, OfOneShardDoesNotHideThatOfAnother) {
  const TemporaryFolder folder;
  for (int64_t shard = 0; shard < 3; ++shard) {
    Manifest manifest = example_manifest(4);
    manifest.shard_index = shard;
    manifest.shard_count = 3;
    manifest.first_row = 4 * shard;
    manifest.total_rows = 12;
    testing::write_example_store(shard_path(folder / "a.h5", shard, 3), manifest);
  }
  const std::string first = shard_path(folder / "a.h5", 0, 3);
  const std::string last = shard_path(folder / "a.h5", 2, 3);
  testing::flip_byte(first, 100);
  testing::flip_byte(last, features_of(last).offset);
  const auto lines = verify_feature_store(folder / "a.h5", nullptr);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_NE(lines[0].find("00000-of-00003.h5\" is damaged"), std::string::npos) << lines[0];
  EXPECT_NE(lines[1].find("00002-of-00003.h5\": row 0"), std::string::npos) << lines[1];
}

}  // namespace
}  // namespace last
