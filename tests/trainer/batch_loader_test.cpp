#include "trainer/data/batch_loader.h"

#include <filesystem>
#include <set>

#include <gtest/gtest.h>

#include "common/error.h"
#include "common/feature_store/footer.h"
#include "common/io/file.h"
#include "tests/common/feature_store/example_store.h"

namespace last {
namespace {

using testing::error_of;
using testing::example_manifest;

constexpr int64_t kRows = 41;  // row 3 is a bad image: 40 samples with one view

struct Loading : ::testing::Test {
  void SetUp() override {
    manifest = example_manifest(kRows);
    for (int64_t row = 0; row < kRows; ++row) manifest.views[static_cast<size_t>(row)] = 0;
    testing::write_example_store(path, manifest);
  }

  Dataset dataset() const {
    const StoreGroup group = open_stores("train", {path});
    return Dataset(group, resolve_targets({"label"}, {&group.labels[0]}), true);
  }

  // Row of sample i: row 3 is left out.
  static int64_t row_of(int64_t sample) { return sample < 3 ? sample : sample + 1; }

  std::string expected_maps(int64_t sample, const std::vector<int64_t>& maps) const {
    const auto row = testing::example_row(manifest, row_of(sample));
    const size_t map_bytes = row.size() / 3;
    std::string bytes;
    for (const int64_t map : maps) {
      bytes.append(row.data() + static_cast<size_t>(map) * map_bytes, map_bytes);
    }
    return bytes;
  }

  void damage(int64_t row) const {
    testing::flip_byte(path, read_footer(File::open_read(path))->excluded[0].offset +
                                 static_cast<uint64_t>(row * manifest.row_bytes()) + 1);
  }

  testing::TemporaryFolder folder;
  std::string path = folder / "a.h5";
  Manifest manifest;
};

std::vector<Draw> shuffled(int64_t samples) {
  return epoch_order(std::vector<int64_t>(static_cast<size_t>(samples), 1), 5, 0);
}

std::string bytes_of(const at::Tensor& tensor) {
  return {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()};
}

TEST_F(Loading, FirstViewsAreAllThatIsHeldOfImagesThatAreOnlyEvaluated) {
  auto several = example_manifest(12);
  for (size_t row = 1; row < several.sample_ids.size(); row += 2) {  // a second view of the image
    several.sample_ids[row] = several.sample_ids[row - 1];
    for (auto& column : several.labels) column.labels[row] = column.labels[row - 1];
  }
  testing::write_example_store(folder / "views.h5", several);
  const StoreGroup group = open_stores("train", {folder / "views.h5"});
  const Dataset all(group, resolve_targets({"label"}, {&group.labels[0]}), true);
  const Dataset plain = all.first_views();
  ASSERT_GT(all.total_rows(), all.size());
  EXPECT_EQ(plain.total_rows(), all.size());
  EXPECT_EQ(plain.ids(), all.ids());
  FeatureSource source(plain, {0, 1, 2}, Residence::kMemory);
  EXPECT_EQ(source.total_bytes(), plain.size() * source.row_bytes());
  int64_t loaded = 0;
  source.load([&](int64_t rows) { loaded = rows; });
  EXPECT_EQ(loaded, plain.size());
  std::vector<char> buffer;
  std::string found(static_cast<size_t>(source.row_bytes()), ' ');
  std::string expected = found;
  for (int64_t sample = 0; sample < plain.size(); ++sample) {
    source.fetch({sample, 0}, found.data(), buffer);
    all.read(sample, 0, std::vector<int64_t>{0, 1, 2}, expected.data(), buffer);
    EXPECT_EQ(found, expected);
  }
  EXPECT_EQ(plain.joined_with(all).total_rows(), plain.size() + all.total_rows());
}

TEST_F(Loading, GivesTheRowsInOrderWhereverTheyAreKeptWhateverTheThreads) {
  const auto order = shuffled(40);
  for (const auto& maps : {std::vector<int64_t>{0, 1, 2}, {0, 2}, {1}, {1, 2}}) {
    for (const auto residence : {Residence::kDisk, Residence::kMemory, Residence::kDevice}) {
      for (const int threads : {1, 2, 5}) {
        FeatureSource source(dataset(), maps, residence, {threads});
        for (int epoch = 0; epoch < 2; ++epoch) {  // the second one reads only what it needs
          BatchLoader loader(source, order, 16, /*drop_last=*/false);
          EXPECT_EQ(loader.batches(), 3);
          LabelledBatch batch;
          int64_t i = 0;
          while (loader.next(batch)) {
            const int64_t size = batch.features.size(0);
            EXPECT_EQ(size, i < 32 ? 16 : 8);
            EXPECT_EQ(batch.features.size(1), static_cast<int64_t>(maps.size()));
            std::string expected;
            for (int64_t k = 0; k < size; ++k, ++i) {
              const int64_t sample = order[static_cast<size_t>(i)].sample;
              expected += expected_maps(sample, maps);
              EXPECT_EQ(batch.labels.const_data_ptr<int32_t>()[k],
                        manifest.labels[1].labels[static_cast<size_t>(row_of(sample))]);
            }
            ASSERT_EQ(bytes_of(batch.features), expected)
                << static_cast<int>(residence) << " " << threads;
          }
          EXPECT_EQ(i, 40);
          EXPECT_FALSE(loader.next(batch));
        }
      }
    }
  }
}

TEST_F(Loading, StartsAtAnyBatchAndDropsTheRest) {
  FeatureSource source(dataset(), {1}, Residence::kDisk);
  const auto order = shuffled(40);
  BatchLoader loader(source, order, 7, /*drop_last=*/true, 3);
  EXPECT_EQ(loader.batches(), 5);
  LabelledBatch batch;
  for (size_t i = 21; i < 35; i += 7) {
    ASSERT_TRUE(loader.next(batch));
    EXPECT_EQ(bytes_of(batch.features[0]), expected_maps(order[i].sample, {1}));
  }
  EXPECT_FALSE(loader.next(batch));
  BatchLoader beyond(source, order, 7, /*drop_last=*/true, 5);
  EXPECT_FALSE(beyond.next(batch));
}

TEST_F(Loading, UsesMemoryAgainUnlessSomebodyKeepsIt) {
  FeatureSource source(dataset(), {0, 1, 2}, Residence::kDisk);
  const auto order = sequential_order(source.data());
  BatchLoader loader(source, order, 2, /*drop_last=*/false);
  std::set<const void*> places;
  LabelledBatch batch;
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(loader.next(batch));
    places.insert(batch.features.const_data_ptr());
  }
  EXPECT_EQ(places.size(), static_cast<size_t>(BatchLoader::kWindow));
  ASSERT_TRUE(loader.next(batch));  // samples 24, 25
  const at::Tensor kept = batch.features;
  const at::Tensor part = [&] {
    EXPECT_TRUE(loader.next(batch));
    return batch.features[1];  // sample 27
  }();
  while (loader.next(batch)) {
  }
  EXPECT_EQ(bytes_of(kept), expected_maps(24, {0, 1, 2}) + expected_maps(25, {0, 1, 2}));
  EXPECT_EQ(bytes_of(part), expected_maps(27, {0, 1, 2}));
}

TEST_F(Loading, StopsAtTheFirstDamagedRowOfABatch) {
  damage(row_of(20));
  damage(row_of(22));
  for (int repetition = 0; repetition < 10; ++repetition) {
    FeatureSource source(dataset(), {1}, Residence::kDisk);
    BatchLoader loader(source, sequential_order(source.data()), 8, /*drop_last=*/false);
    LabelledBatch batch;
    EXPECT_TRUE(loader.next(batch));
    EXPECT_TRUE(loader.next(batch));
    const std::string error = error_of([&] { loader.next(batch); });
    EXPECT_NE(error.find("a.h5\": row 21 (\""), std::string::npos) << error;
    EXPECT_NE(error.find("damaged: CRC-32C 0x"), std::string::npos) << error;
    EXPECT_NE(error.find("expected, 0x"), std::string::npos) << error;
    FeatureSource resident(dataset(), {1}, Residence::kMemory);
    EXPECT_EQ(error_of([&] { resident.load([](int64_t) {}); }), error);
    EXPECT_FALSE(resident.loaded());
  }
}

TEST_F(Loading, AFileThatIsCutOffMeanwhileIsAnError) {
  FeatureSource source(dataset(), {0, 1, 2}, Residence::kDisk);
  const Extent features = read_footer(File::open_read(path))->excluded[0];
  std::filesystem::resize_file(path, features.offset + features.size / 2);
  BatchLoader loader(source, sequential_order(source.data()), 40, /*drop_last=*/false);
  LabelledBatch batch;
  const std::string error = error_of([&] { loader.next(batch); });
  EXPECT_NE(error.find("a.h5\" is truncated"), std::string::npos) << error;
}

TEST_F(Loading, CanBeInterruptedWhileMemoryIsFilled) {
  FeatureSource source(dataset(), {0, 1, 2}, Residence::kMemory, {3});
  EXPECT_THROW(source.load([](int64_t) { throw Interrupted("stopped"); }), Interrupted);
  EXPECT_FALSE(source.loaded());
  int64_t done = 0;
  source.load([&](int64_t rows) { done = rows; });
  EXPECT_EQ(done, 40);
  EXPECT_TRUE(source.loaded());
}

TEST_F(Loading, CanBeLeftAtAnyTime) {
  for (int64_t taken = 0; taken < 4; ++taken) {
    FeatureSource source(dataset(), {0, 2}, Residence::kDisk);
    BatchLoader loader(source, shuffled(40), 4, /*drop_last=*/false);
    LabelledBatch batch;
    for (int64_t i = 0; i < taken; ++i) ASSERT_TRUE(loader.next(batch));
  }
}

}  // namespace
}  // namespace last
