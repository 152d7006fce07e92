#include <filesystem>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/common/feature_store/example_store.h"

namespace last {
namespace {

TEST(Space, AFullDiskFailsBeforeTheFirstRowAndNamesTheMissingBytes) {
  const testing::TemporaryFolder folder;
  const std::string disk = folder / "disk";
  std::filesystem::create_directory(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "only root can mount a small file system";
  }
  const Manifest manifest = testing::example_manifest(10000);  // 1.8 MB of features
  const std::string error =
      testing::error_of([&] { FeatureStoreWriter(disk + "/a.h5", manifest); });
  const bool left = std::filesystem::exists(disk + "/a.h5.partial") ||
                    std::filesystem::exists(disk + "/a.h5.partial.tmp");
  ::umount(disk.c_str());
  EXPECT_NE(error.find("not enough space"), std::string::npos) << error;
  EXPECT_NE(error.find("bytes missing"), std::string::npos) << error;
  EXPECT_FALSE(left);
}

TEST(Space, IsReservedWhenTheFileIsCreated) {
  const testing::TemporaryFolder folder;
  const Manifest manifest = testing::example_manifest(10000);
  const FeatureStoreWriter writer(folder / "a.h5", manifest);
  struct stat status {};
  ASSERT_EQ(::stat((folder / "a.h5.partial").c_str(), &status), 0);
  EXPECT_GE(status.st_blocks * 512, manifest.rows * manifest.row_bytes());
}

}  // namespace
}  // namespace last
