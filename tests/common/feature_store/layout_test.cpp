#include <array>
#include <sys/stat.h>

#include <gtest/gtest.h>
#include <hdf5.h>

#include "tests/common/feature_store/example_store.h"

// The layout as the plain HDF5 library sees it, without our reader.
namespace last {
namespace {

using testing::example_manifest;

struct Opened {
  explicit Opened(const std::string& path) : file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, 0)) {}
  ~Opened() { H5Fclose(file); }

  std::vector<hsize_t> shape(const char* name) const {
    const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    const hid_t space = H5Dget_space(dataset);
    std::vector<hsize_t> dims(static_cast<size_t>(H5Sget_simple_extent_ndims(space)));
    H5Sget_simple_extent_dims(space, dims.data(), nullptr);
    H5Sclose(space);
    H5Dclose(dataset);
    return dims;
  }

  template <class T>
  std::vector<T> read(const char* name, hid_t type, size_t count) const {
    std::vector<T> values(count);
    const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    EXPECT_GE(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
    H5Dclose(dataset);
    return values;
  }

  hid_t file;
};

TEST(Layout, FeaturesLieInOneAlignedBlockThatHoldsTheRows) {
  const testing::TemporaryFolder folder;
  const Manifest manifest = example_manifest(7);
  testing::write_example_store(folder / "a.h5", manifest);
  const Opened opened(folder / "a.h5");
  ASSERT_GE(opened.file, 0);
  EXPECT_EQ(opened.shape("/features"), (std::vector<hsize_t>{7, 3, 5, 6}));

  const hid_t dataset = H5Dopen2(opened.file, "/features", H5P_DEFAULT);
  const hid_t creation = H5Dget_create_plist(dataset);
  H5D_alloc_time_t allocation{};
  H5D_fill_time_t fill{};
  H5Pget_alloc_time(creation, &allocation);
  H5Pget_fill_time(creation, &fill);
  EXPECT_EQ(H5Pget_layout(creation), H5D_CONTIGUOUS);
  EXPECT_EQ(allocation, H5D_ALLOC_TIME_EARLY);
  EXPECT_EQ(fill, H5D_FILL_TIME_NEVER);
  EXPECT_EQ(H5Pget_nfilters(creation), 0);
  const haddr_t offset = H5Dget_offset(dataset);
  H5Pclose(creation);
  H5Dclose(dataset);

  EXPECT_EQ(offset % 4096, 0u);
  const std::string bytes = testing::read_bytes(folder / "a.h5");
  const size_t row_bytes = static_cast<size_t>(manifest.row_bytes());
  for (int64_t row = 0; row < 7; ++row) {
    const auto expected =
        row == 3 ? std::vector<char>(row_bytes) : testing::example_row(manifest, row);
    EXPECT_EQ(bytes.substr(offset + static_cast<size_t>(row) * row_bytes, row_bytes),
              std::string(expected.begin(), expected.end()));
  }
}

TEST(Layout, RowsCarryStateChecksumAndDigest) {
  const testing::TemporaryFolder folder;
  const Manifest manifest = example_manifest(7);
  testing::write_example_store(folder / "a.h5", manifest);
  const Opened opened(folder / "a.h5");
  EXPECT_EQ(opened.read<uint8_t>("/row_state", H5T_NATIVE_UINT8, 7),
            (std::vector<uint8_t>{1, 1, 1, 2, 1, 1, 1}));
  const auto crcs = opened.read<uint32_t>("/row_crc32c", H5T_NATIVE_UINT32, 7);
  const auto row = testing::example_row(manifest, 6);
  EXPECT_EQ(crcs[6], crc32c(row.data(), row.size()));
  EXPECT_EQ(opened.shape("/image_digest"), (std::vector<hsize_t>{7, 32}));
  const auto digests = opened.read<Sha256Digest>("/image_digest", H5T_NATIVE_UINT8, 7);
  EXPECT_EQ(digests[6], testing::example_digest(6));
  EXPECT_EQ(opened.read<int32_t>("/labels/species", H5T_NATIVE_INT32, 7),
            manifest.labels[0].labels);
}

TEST(Layout, MetadataIsInTheFormatOfHdf5OneEightWithoutTimes) {
  const testing::TemporaryFolder folder;
  testing::write_example_store(folder / "a.h5", example_manifest(7));
  const std::string bytes = testing::read_bytes(folder / "a.h5");
  EXPECT_EQ(bytes[8], 2);  // version of the superblock, the first with a checksum
  const Opened opened(folder / "a.h5");
  for (const char* name : {"/", "/features", "/labels", "/labels/label", "/backbone/layers"}) {
    H5O_info_t info;
#if H5_VERSION_GE(1, 12, 0)
    H5Oget_info_by_name3(opened.file, name, &info, H5O_INFO_TIME, H5P_DEFAULT);
#else
    H5Oget_info_by_name(opened.file, name, &info, H5P_DEFAULT);
#endif
    EXPECT_EQ(info.mtime, 0) << name;
    EXPECT_EQ(info.ctime, 0) << name;
  }
}

TEST(Layout, TheFooterLiesBehindTheEndThatHdf5Knows) {
  const testing::TemporaryFolder folder;
  testing::write_example_store(folder / "a.h5", example_manifest(7));
  const std::string bytes = testing::read_bytes(folder / "a.h5");
  EXPECT_EQ(bytes.size() % 4096, 512u);
  EXPECT_EQ(bytes.substr(bytes.size() - 512, 8), "LASTFS\r\n");
  const std::string without = bytes.substr(0, bytes.size() - 512);
  testing::write_bytes(folder / "b.h5", without);
  EXPECT_GE(Opened(folder / "b.h5").file, 0);
}

TEST(Layout, TheSameContentGivesTheSameBytes) {
  const testing::TemporaryFolder folder;
  const Manifest manifest = example_manifest(7);
  testing::write_example_store(folder / "a.h5", manifest);
  testing::write_example_store(folder / "another_name.h5", manifest);
  EXPECT_EQ(testing::read_bytes(folder / "a.h5"), testing::read_bytes(folder / "another_name.h5"));
}

TEST(Layout, TheEstimateOfTheSizeIsWithinOnePercent) {
  const testing::TemporaryFolder folder;
  Manifest manifest = example_manifest(6000);
  testing::write_example_store(folder / "a.h5", manifest);
  const auto size = static_cast<double>(testing::read_bytes(folder / "a.h5").size());
  EXPECT_NEAR(static_cast<double>(estimate_file_bytes(manifest)), size, size / 100);
}

}  // namespace
}  // namespace last
