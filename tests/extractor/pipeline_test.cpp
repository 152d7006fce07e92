#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "common/error.h"
#include "common/io/file.h"
#include "common/threads/thread_pool.h"
#include "extractor/commands/layers.h"
#include "extractor/images/bad_image.h"
#include "extractor/images/decode.h"
#include "extractor/images/image_file.h"
#include "extractor/pipeline/bad_images.h"
#include "extractor/pipeline/image_digests.h"
#include "extractor/pipeline/image_folders.h"
#include "extractor/pipeline/image_loader.h"
#include "extractor/pipeline/row_plan.h"

namespace last {
namespace {

namespace fs = std::filesystem;

const std::string kPictures = std::string(LAST_SOURCE_DIR) + "/tests/extractor/images/references/";

TEST(RowPlan, ShardsAreRunsOfWholeBatchesAndCoverEverything) {
  for (const int64_t images : {1, 7, 8, 100}) {
    for (const int64_t views : {1, 3}) {
      const int64_t batches = (images * views + 3) / 4;
      for (int64_t shards = 1; shards <= std::min<int64_t>(batches, 6); ++shards) {
        int64_t row = 0;
        for (int64_t shard = 0; shard < shards; ++shard) {
          const RowPlan plan(images, views, 4, shard, shards);
          EXPECT_EQ(plan.first_row(), row);
          EXPECT_EQ(plan.first_row() % 4, 0);
          EXPECT_GT(plan.rows(), 0);
          EXPECT_EQ(plan.batch_end(plan.batches() - 1), plan.rows());
          row += plan.rows();
        }
        EXPECT_EQ(row, images * views);
      }
      EXPECT_THROW(RowPlan(images, views, 4, 0, batches + 1), UsageError);
    }
  }
}

TEST(RowPlan, RowsCountFromTheShard) {
  const RowPlan plan(10, 3, 4, 1, 2);  // 30 rows, 8 batches, the second half from row 16
  EXPECT_EQ(plan.first_row(), 16);
  EXPECT_EQ(plan.image_of(0), 5);
  EXPECT_EQ(plan.view_of(0), 1);
  EXPECT_EQ(plan.image_of(13), 9);
  EXPECT_EQ(plan.view_of(13), 2);
  EXPECT_EQ(plan.image_starts(14), (std::vector<int64_t>{0, 2, 5, 8, 11, 14}));
}

std::vector<std::vector<int64_t>> rows_of(const RowPlan& plan,
                                          const std::vector<int64_t>& batches) {
  std::vector<std::vector<int64_t>> rows;
  for (const int64_t batch : batches) {
    auto& part = rows.emplace_back();
    for (int64_t row = plan.batch_begin(batch); row < plan.batch_end(batch); ++row) {
      part.push_back(row);
    }
  }
  return rows;
}

class ImageLoaderTest : public testing::Test {
 protected:
  ImageLoaderTest() {
    options_.preprocessing.width = options_.preprocessing.height = 8;
    options_.max_pixels = kDefaultMaxPixels;
    const char* names[] = {"rgb.png", "gray.jpg", "absent.png", "rgb.bmp", "rgba.png"};
    for (int i = 0; i < 50; ++i) {
      list_.ids.push_back(std::to_string(i));
      list_.paths.push_back(kPictures + names[i % 5]);
    }
  }

  // All batches, as one row of floats per row.
  std::vector<std::vector<float>> load(const RowPlan& plan, const std::vector<int64_t>& batches) {
    return load(plan, rows_of(plan, batches));
  }
  std::vector<std::vector<float>> load(const RowPlan& plan,
                                       const std::vector<std::vector<int64_t>>& batches) {
    std::vector<std::vector<float>> rows;
    const ImageFolders folders(list_);
    ImageLoader loader(list_, folders, plan, batches, options_);
    size_t next = 0;
    while (!loader.finished()) {
      const auto batch = loader.next(10.0);
      if (!batch) continue;
      EXPECT_EQ(batch->rows, batches[next++]);
      const auto* data = static_cast<const float*>(batch->pixels.data_ptr());
      for (size_t i = 0; i < batch->images.size(); ++i) {
        rows.emplace_back(data + i * 192, data + (i + 1) * 192);
        reasons_.push_back(batch->images[i].bad_reason);
        digests_.push_back(batch->images[i].digest);
      }
    }
    return rows;
  }

  ImageList list_;
  ImageLoader::Options options_;
  std::vector<std::string> reasons_;
  std::vector<Sha256Digest> digests_;
};

TEST_F(ImageLoaderTest, SameRowsWithAnyNumberOfThreads) {
  options_.views = {3, Augmentation::kRandomResizedCropFlip, 5};
  const RowPlan plan(50, 3, 16, 0, 1);
  std::vector<int64_t> all;
  for (int64_t batch = 0; batch < plan.batches(); ++batch) all.push_back(batch);
  const auto one = load(plan, all);
  ASSERT_EQ(one.size(), 150U);
  options_.threads = 5;
  EXPECT_EQ(load(plan, all), one);
  // Any part of the batches gives the same rows.
  const auto part = load(plan, std::vector<int64_t>{2, 9});
  EXPECT_EQ(part[0], one[32]);
  EXPECT_EQ(part.back(), one.back());
  // And so do rows of several batches: views of one image, two images far apart.
  const auto gathered = load(plan, std::vector<std::vector<int64_t>>{{3, 5, 100}, {149}});
  ASSERT_EQ(gathered.size(), 4U);
  EXPECT_EQ(gathered[0], one[3]);
  EXPECT_EQ(gathered[1], one[5]);
  EXPECT_EQ(gathered[2], one[100]);
  EXPECT_EQ(gathered[3], one[149]);
}

TEST_F(ImageLoaderTest, BadImagesAreZerosWithAReason) {
  const RowPlan plan(50, 1, 5, 0, 1);
  const auto rows = load(plan, std::vector<int64_t>{0});
  EXPECT_EQ(reasons_[2], "no such file");
  EXPECT_EQ(digests_[2], Sha256Digest{});
  EXPECT_EQ(rows[2], std::vector<float>(192, 0.0F));
  EXPECT_EQ(reasons_[0], "");
  EXPECT_EQ(digests_[0], sha256_of_file(list_.paths[0]));
  EXPECT_NE(rows[0], rows[2]);
}

TEST_F(ImageLoaderTest, CanBeDroppedAtAnyTime) {
  const RowPlan plan(50, 1, 5, 0, 1);
  options_.threads = 4;
  const ImageFolders folders(list_);
  for (int taken = 0; taken < 3; ++taken) {
    ImageLoader loader(list_, folders, plan, rows_of(plan, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}),
                       options_);
    for (int i = 0; i < taken; ++i) loader.next(10.0);
  }
}

TEST(ImageFolders, KnowsWhichAreMissingOrEmpty) {
  const fs::path folder = fs::temp_directory_path() / ("last_folders_" + std::to_string(getpid()));
  fs::create_directories(folder / "full");
  fs::create_directories(folder / "empty");
  write_file_atomically((folder / "full/b.png").string(), "b");
  ImageList list;
  for (const char* id : {"full/a.png", "empty/a.png", "full/b.png", "gone/a.png", "gone/b.png"}) {
    list.ids.emplace_back(id);
    list.paths.push_back((folder / id).string());
  }
  const std::map<std::string, std::string> expected = {{"empty", (folder / "empty").string()},
                                                       {"gone", (folder / "gone").string()}};
  EXPECT_EQ(ImageFolders(list).absent(), expected);
  fs::remove_all(folder);
}

TEST_F(ImageLoaderTest, ChangedImagesMakeAStoreStale) {
  const RowPlan plan(50, 2, 8, 0, 1);
  const auto right = [&](int64_t row) -> std::optional<Sha256Digest> {
    if (plan.image_of(row) % 5 == 2) return Sha256Digest{};  // absent then and now
    return sha256_of_file(list_.paths[static_cast<size_t>(plan.image_of(row))]);
  };
  EXPECT_NO_THROW(check_image_digests(list_, plan, 3, "a.h5", right));
  const auto wrong = [&](int64_t row) -> std::optional<Sha256Digest> {
    return row == 13 ? Sha256Digest{1} : right(row);
  };
  try {
    check_image_digests(list_, plan, 3, "a.h5", wrong);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("stale: the image \"6\" has changed"),
              std::string::npos);
  }
  const auto deleted = [&](int64_t row) -> std::optional<Sha256Digest> {
    return row == 4 ? Sha256Digest{1} : right(row);
  };
  try {
    check_image_digests(list_, plan, 3, "a.h5", deleted);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(
        std::string(error.what()).find("the image \"2\" can't be read any more (no such file)"),
        std::string::npos)
        << error.what();
  }
}

TEST_F(ImageLoaderTest, ImagesThatCameBackMakeAStoreStaleInOtherWords) {
  const RowPlan plan(50, 1, 8, 0, 1);
  const auto absent = [](int64_t row) -> std::optional<Sha256Digest> {
    if (row == 3) return Sha256Digest{};
    return std::nullopt;
  };
  try {
    check_image_digests(list_, plan, 1, "a.h5", absent);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("lacks the image \"3\", which could not be read"),
              std::string::npos)
        << error.what();
  }
}

// What the system can't give says nothing about an image: BadImage would end in the store.
TEST(ImageFile, LackOfDescriptorsIsNoBadImage) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  std::string message;
  try {
    read_image_file(kPictures + "rgb.png");
  } catch (const BadImage& error) {
    message = concat("bad image: ", error.what());
  } catch (const Error& error) {
    message = error.what();
  }
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_NE(message.find("rgb.png\": Too many open files; run the same command"), std::string::npos)
      << message;
  EXPECT_NO_THROW(read_image_file(kPictures + "rgb.png"));
  EXPECT_THROW(read_image_file(std::string(5000, 'a')), BadImage);
  EXPECT_THROW(read_image_file(kPictures + "rgb.png/a"), BadImage);
}

// Ends the process: 0 where `action` throws an Error with `part` in it when memory for 1000 stacks
// is lacking.
[[noreturn]] void with_little_memory(const std::function<void()>& action,
                                     const std::string& part = "") {
  const rlimit little{rlim_t{2} << 30, rlim_t{2} << 30};
  if (setrlimit(RLIMIT_AS, &little) != 0) std::_Exit(1);
  try {
    action();
  } catch (const Error& error) {
    std::_Exit(std::string(error.what()).find(part) != std::string::npos ? 0 : 3);
  }
  std::_Exit(2);
}

TEST_F(ImageLoaderTest, TooManyThreadsAreAnError) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers need more memory than this leaves";
#endif
  const RowPlan plan(50, 1, 5, 0, 1);
  options_.threads = 1024;
  const ImageFolders folders(list_);
  EXPECT_EXIT(
      with_little_memory([&] { ImageLoader(list_, folders, plan, rows_of(plan, {0}), options_); }),
      testing::ExitedWithCode(0), "");
  EXPECT_EXIT(with_little_memory([] { ThreadPool(1024); }), testing::ExitedWithCode(0), "");
}

// 3 GB of pixels; the run would otherwise end without saying at which image.
TEST_F(ImageLoaderTest, LackOfMemoryNamesTheImage) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers end the process instead";
#endif
  const std::string path =
      (fs::temp_directory_path() / ("last_large_" + std::to_string(getpid()) + ".pbm")).string();
  const std::string header = "P4 40000 25000\n";
  write_file_atomically(path, header);
  fs::resize_file(path, header.size() + 40000 / 8 * 25000);
  list_.paths[0] = path;
  options_.max_pixels = uint64_t{1} << 40;
  const RowPlan plan(50, 1, 5, 0, 1);
  EXPECT_EXIT(with_little_memory([&] { load(plan, std::vector<int64_t>{0}); },
                                 path + "\"; fewer --decode-threads need less, and a lower "
                                        "--max-pixels"),
              testing::ExitedWithCode(0), "");
  fs::remove(path);
}

TEST(BadImages, AreQuotedAndInOrderOfTheList) {
  const fs::path folder = fs::temp_directory_path() / ("last_bad_" + std::to_string(getpid()));
  fs::create_directories(folder);
  const std::string path = bad_images_path((folder / "N.00001-of-00002.h5").string());
  EXPECT_EQ(fs::path(path).filename(), "N.00001-of-00002.bad.csv");
  BadImages bad;
  bad.add(9, "c,\"d\".jpg", "two\nlines");
  bad.add(3, "a b.jpg", "no such file");
  bad.add(3, "a b.jpg", "no such file");
  EXPECT_EQ(bad.count(), 2);
  EXPECT_EQ(bad.first(), "a b.jpg: no such file");
  bad.write(path);
  EXPECT_EQ(read_text_file(path),
            "path,reason\na b.jpg,no such file\n\"c,\"\"d\"\".jpg\",\"two\nlines\"\n");
  BadImages().write(path);
  EXPECT_FALSE(fs::exists(path));
  fs::remove_all(folder);
}

TEST(Layers, FollowTheContract) {
  using Layers = std::vector<int64_t>;
  EXPECT_EQ(parse_layers("all", 3), (Layers{0, 1, 2, 3}));
  EXPECT_EQ(parse_layers("every:3", 12), (Layers{0, 3, 6, 9, 12}));
  EXPECT_EQ(parse_layers("12,0,6", 12), (Layers{0, 6, 12}));
  for (const char* text :
       {"", "every:5", "every:0", "every:x", "0,13", "-1", "3,3", "1,,2", "none"}) {
    EXPECT_THROW(parse_layers(text, 12), UsageError) << text;
  }
  EXPECT_NO_THROW(parse_layers("every:5", 0));
}

}  // namespace
}  // namespace last
