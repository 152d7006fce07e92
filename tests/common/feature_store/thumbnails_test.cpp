#include <algorithm>
#include <filesystem>

#include <gtest/gtest.h>

#include "common/error.h"
#include "common/feature_store/footer.h"
#include "common/io/file.h"
#include "tests/common/feature_store/example_store.h"

namespace last {
namespace {

using testing::error_of;
using testing::TemporaryFolder;

Manifest manifest_with_thumbnails(int64_t rows) {
  Manifest manifest = testing::example_manifest(rows);
  manifest.thumbnail_size = 4;
  return manifest;
}

// Where the pictures lie: the only part of this size.
uint64_t thumbnails_offset(const std::string& path, const Manifest& manifest) {
  const auto size = static_cast<uint64_t>(manifest.rows * manifest.thumbnail_bytes());
  const auto parts = read_footer(File::open_read(path))->excluded;
  const auto found = std::ranges::find(parts, size, &Extent::size);
  return found == parts.end() ? 0 : found->offset;
}

void finish(const std::string& path, const Manifest& manifest) {
  FeatureStoreWriter writer(path, manifest);
  for (int64_t row = 0; row < manifest.rows; ++row) {
    if (writer.state(row) == RowState::kAbsent) testing::write_example_row(writer, row);
  }
  writer.finish();
}

TEST(Thumbnails, ComeBackAndAreBlackForBadImages) {
  const TemporaryFolder folder;
  const Manifest manifest = manifest_with_thumbnails(9);
  testing::write_example_store(folder / "a.h5", manifest);
  const FeatureStoreReader reader(folder / "a.h5");
  EXPECT_EQ(reader.manifest().thumbnail_size, 4);
  for (int64_t row = 0; row < 9; ++row) {
    const at::Tensor picture = reader.thumbnail(row);
    ASSERT_EQ(picture.sizes(), (std::vector<int64_t>{4, 4, 3}));
    const auto* bytes = picture.const_data_ptr<uint8_t>();
    const auto expected =
        row == 3 ? std::vector<uint8_t>(48) : testing::example_thumbnail(manifest, row);
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), bytes)) << row;
  }
  EXPECT_TRUE(verify_feature_store(folder / "a.h5", nullptr).empty());
}

TEST(Thumbnails, ResumedEqualsUninterrupted) {
  const TemporaryFolder folder;
  const Manifest manifest = manifest_with_thumbnails(9);
  testing::write_example_store(folder / "whole.h5", manifest);
  const std::string expected = testing::read_bytes(folder / "whole.h5");
  for (const int64_t stop : {0, 5, 9}) {
    const std::string path = folder / ("stopped" + std::to_string(stop) + ".h5");
    {
      FeatureStoreWriter writer(path, manifest);
      testing::write_example_rows(writer, 0, stop);
    }
    if (stop > 2) {
      // As after a power loss: the row's features reached the disk, its picture did not.
      const std::string partial = path + ".partial";
      testing::flip_byte(partial, thumbnails_offset(partial, manifest) + 2 * 48 + 7);
      EXPECT_EQ(FeatureStoreWriter(path, manifest).state(2), RowState::kAbsent);
    }
    finish(path, manifest);
    EXPECT_EQ(testing::read_bytes(path), expected) << "stopped after " << stop << " rows";
  }
}

TEST(Thumbnails, DamageIsNamedAndCostsThePictureOnly) {
  const TemporaryFolder folder;
  const Manifest manifest = manifest_with_thumbnails(9);
  const std::string path = folder / "a.h5";
  testing::write_example_store(path, manifest);
  const uint64_t offset = thumbnails_offset(path, manifest);
  ASSERT_NE(offset, 0U);
  testing::flip_byte(path, offset + 6 * 48);
  const FeatureStoreReader reader(path);
  EXPECT_NO_THROW(reader.thumbnail(5));
  EXPECT_NO_THROW(reader.read_row(6));
  const std::string message = error_of([&] { reader.thumbnail(6); });
  EXPECT_NE(message.find("the thumbnail of row 6"), std::string::npos) << message;
  const auto lines = verify_feature_store(path, nullptr);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("the thumbnail of row 6"), std::string::npos);
}

TEST(Thumbnails, AreThereForAllRowsOrForNone) {
  const TemporaryFolder folder;
  const Manifest manifest = manifest_with_thumbnails(2);
  const auto row = testing::example_row(manifest, 0);
  const uint8_t pixel = 0;
  FeatureStoreWriter with(folder / "with.h5", manifest);
  EXPECT_THROW(with.write_row(0, row.data(), {}), Error);
  FeatureStoreWriter without(folder / "without.h5", testing::example_manifest(2));
  EXPECT_THROW(without.write_row(0, row.data(), {}, &pixel), Error);
  testing::write_example_store(folder / "none.h5", testing::example_manifest(2));
  const FeatureStoreReader reader(folder / "none.h5");
  EXPECT_NE(error_of([&] { reader.thumbnail(0); }).find("--thumbnails"), std::string::npos);
  EXPECT_NE(first_difference(testing::example_manifest(2), manifest), "");
}

}  // namespace
}  // namespace last
