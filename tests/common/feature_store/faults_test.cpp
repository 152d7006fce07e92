#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <sys/resource.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "common/error.h"
#include "common/feature_store/footer.h"
#include "common/io/file.h"
#include "tests/common/feature_store/example_store.h"

// What the world does to a store: limits, rights, folders that go away, others at work.
namespace last {
namespace {

namespace fs = std::filesystem;

using testing::error_of;
using testing::example_manifest;
using testing::TemporaryFolder;

// No file grows beyond `bytes` while this lives; the write that tries is cut short, the next fails.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(uint64_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_ = {};
};

// Runs `action` as a user who owns nothing where this process is root, to whom all is allowed.
void as_nobody(const std::function<void()>& action) {
  constexpr uid_t kNobody = 65534;
  const bool root = ::geteuid() == 0;
  ASSERT_EQ(root ? ::seteuid(kNobody) : 0, 0);
  action();
  ASSERT_EQ(root ? ::seteuid(0) : 0, 0);
}

TEST(Faults, ShortWritesNameTheFileAndCostTheirRowOnly) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(40);
  testing::write_example_store(folder / "whole.h5", manifest);
  const Extent features = read_footer(File::open_read(folder / "whole.h5"))->excluded[0];
  const auto row_bytes = static_cast<uint64_t>(manifest.row_bytes());
  {
    FeatureStoreWriter writer(folder / "a.h5", manifest);
    const FileSizeLimit limit(features.offset + 10 * row_bytes + row_bytes / 2);  // within row 10
    testing::write_example_rows(writer, 0, 10);
    const std::string error = error_of([&] { testing::write_example_row(writer, 10); });
    EXPECT_NE(error.find("can't write "), std::string::npos) << error;
    EXPECT_NE(error.find("a.h5.partial\" at "), std::string::npos) << error;
    EXPECT_NE(error.find(std::strerror(EFBIG)), std::string::npos) << error;
    EXPECT_EQ(writer.state(10), RowState::kAbsent);
    EXPECT_EQ(writer.rows_stored(), 9);
  }
  FeatureStoreWriter writer(folder / "a.h5", manifest);
  EXPECT_EQ(writer.rows_stored(), 9);
  testing::write_example_rows(writer, 10, 40);
  testing::write_example_row(writer, 3);
  writer.finish();
  EXPECT_EQ(testing::read_bytes(folder / "a.h5"), testing::read_bytes(folder / "whole.h5"));
}

TEST(Faults, AStoreThatMayNotGrowFailsBeforeTheFirstRow) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(1000);
  {
    const FileSizeLimit limit(100'000);
    const std::string error = error_of([&] { FeatureStoreWriter(folder / "a.h5", manifest); });
    EXPECT_NE(error.find("a.h5.partial.tmp\""), std::string::npos) << error;
  }
  EXPECT_FALSE(fs::exists(folder / "a.h5.partial.tmp"));
  EXPECT_FALSE(fs::exists(folder / "a.h5.partial"));
  testing::write_example_store(folder / "a.h5", manifest);
  EXPECT_TRUE(verify_feature_store(folder / "a.h5", nullptr).empty());
}

TEST(Faults, AFooterThatCannotBeWrittenCanBeWrittenLater) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(9);
  testing::write_example_store(folder / "whole.h5", manifest);
  const std::string expected = testing::read_bytes(folder / "whole.h5");
  {
    FeatureStoreWriter writer(folder / "a.h5", manifest);
    testing::write_example_rows(writer, 0, 9);
    const FileSizeLimit limit(expected.size() - kFooterBytes);
    const std::string error = error_of([&] { writer.finish(); });
    EXPECT_NE(error.find("a.h5.partial\" at "), std::string::npos) << error;
    EXPECT_FALSE(fs::exists(folder / "a.h5"));
  }
  FeatureStoreWriter writer(folder / "a.h5", manifest);
  testing::write_example_row(writer, 3);  // bad rows are tried again
  writer.finish();
  EXPECT_EQ(testing::read_bytes(folder / "a.h5"), expected);
}

TEST(Faults, AReadOnlyFolderIsReadAndNotWritten) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(5);
  testing::write_example_store(folder / "a.h5", manifest);
  ::chmod((folder / "a.h5").c_str(), 0444);
  ::chmod((folder / ".").c_str(), 0555);
  std::string error;
  as_nobody([&] {
    error = error_of([&] { FeatureStoreWriter(folder / "b.h5", manifest); });
    EXPECT_TRUE(verify_feature_store(folder / "a.h5", nullptr).empty());
  });
  ::chmod((folder / ".").c_str(), 0755);
  EXPECT_NE(error.find("b.h5.lock\""), std::string::npos) << error;
  EXPECT_NE(error.find(std::strerror(EACCES)), std::string::npos) << error;
  EXPECT_FALSE(fs::exists(folder / "b.h5.partial"));
}

TEST(Faults, AVanishedFolderIsNamed) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(5);
  fs::create_directory(folder / "gone");
  FeatureStoreWriter writer(folder / "gone/a.h5", manifest);
  testing::write_example_rows(writer, 0, 2);
  fs::remove_all(folder / "gone");
  std::string error = error_of([&] {
    testing::write_example_rows(writer, 2, 5);
    writer.finish();
  });
  EXPECT_NE(error.find("gone/a.h5.partial\" is gone"), std::string::npos) << error;
  EXPECT_EQ(error_of([&] { writer.require_present(); }), error);
  error = error_of([&] { FeatureStoreWriter(folder / "gone/b.h5", manifest); });
  EXPECT_NE(error.find("gone/b.h5"), std::string::npos) << error;
  EXPECT_NE(error.find(std::strerror(ENOENT)), std::string::npos) << error;
  error = error_of([&] { FeatureStoreReader(folder / "gone/a.h5"); });
  EXPECT_NE(error.find("no feature store \""), std::string::npos) << error;
}

TEST(Faults, AFileInPlaceOfTheOwnOneIsNotPublished) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(5);
  FeatureStoreWriter writer(folder / "a.h5", manifest);
  testing::write_example_rows(writer, 0, 5);
  writer.require_present();
  fs::rename(folder / "a.h5.partial", folder / "b");
  testing::write_bytes(folder / "a.h5.partial", "of somebody else");
  const std::string error = error_of([&] { writer.finish(); });
  EXPECT_NE(error.find("a.h5.partial\" is gone"), std::string::npos) << error;
  EXPECT_FALSE(fs::exists(folder / "a.h5"));
}

TEST(Faults, ASecondWriterIsRefusedEvenWithoutTheLockFile) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(5);
  for (const bool deleted : {false, true}) {
    FeatureStoreWriter writer(folder / "a.h5", manifest);
    if (deleted) fs::remove(folder / "a.h5.lock");
    const std::string error = error_of([&] { FeatureStoreWriter(folder / "a.h5", manifest); });
    EXPECT_NE(error.find(deleted ? "a.h5.partial\" is locked" : "a.h5.lock\" is locked"),
              std::string::npos)
        << error;
    EXPECT_NE(error.find("another process is writing there"), std::string::npos) << error;
  }
  testing::write_example_store(folder / "a.h5", manifest);  // as the one who was faster
  const std::string error = error_of([&] { FeatureStoreWriter(folder / "a.h5", manifest); });
  EXPECT_NE(error.find("is finished: run the same command again to check it"), std::string::npos)
      << error;
}

TEST(Faults, AFileThatIsWrittenAtOnceLeavesNothingWhereItFails) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "a.csv", "before");
  const FileSizeLimit limit(1000);
  const std::string error =
      error_of([&] { write_file_atomically(folder / "a.csv", std::string(2000, 'a')); });
  EXPECT_NE(error.find("a.csv.tmp\" at "), std::string::npos) << error;
  EXPECT_FALSE(fs::exists(folder / "a.csv.tmp"));
  EXPECT_EQ(testing::read_bytes(folder / "a.csv"), "before");
}

TEST(Faults, AnOpenStoreIsReadOnAfterItsFolderVanished) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(9);
  fs::create_directory(folder / "gone");
  testing::write_example_store(folder / "gone/a.h5", manifest);
  const FeatureStoreReader reader(folder / "gone/a.h5");
  fs::remove_all(folder / "gone");
  for (const int64_t row : reader.stored_rows()) EXPECT_NO_THROW(reader.read_row(row));
}

// Shards are read while others are being written, in one folder, and a file while it is replaced.
TEST(Faults, ReadersAndWritersDoNotDisturbEachOther) {
  const TemporaryFolder folder;
  const Manifest manifest = example_manifest(64);
  testing::write_example_store(folder / "a.h5", manifest);
  const FeatureStoreReader open(folder / "a.h5");
  std::thread writing([&] {
    for (int i = 0; i < 4; ++i)
      testing::write_example_store(folder / concat("b", i, ".h5"), manifest);
    fs::remove(folder / "a.h5");
    testing::write_example_store(folder / "a.h5", example_manifest(9));
  });
  std::vector<char> data(static_cast<size_t>(manifest.row_bytes()));
  int wrong = 0;
  for (int pass = 0; pass < 10; ++pass) {
    for (const int64_t row : open.stored_rows()) {
      open.read_rows({&row, 1}, data.data());
      wrong += data != testing::example_row(manifest, row);
    }
    const std::string error = error_of([&] {
      const FeatureStoreReader reader(folder / "b3.h5");
      wrong += reader.manifest().rows != 64;
    });
    const bool expected = error.empty() || error.find("is unfinished") != std::string::npos ||
                          error.find("no feature store") != std::string::npos;
    EXPECT_TRUE(expected) << error;
  }
  writing.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(FeatureStoreReader(folder / "a.h5").manifest().rows, 9);
}

}  // namespace
}  // namespace last
