#include "extractor/pipeline/row_writer.h"

#include <cstring>
#include <limits>

#include <ATen/ops/empty.h>
#include <c10/util/Half.h>
#include <gtest/gtest.h>

#include "tests/common/feature_store/example_store.h"

namespace last {
namespace {

using testing::error_of;

constexpr int64_t kRows = 40, kBatch = 4;

ImageBatch batch_from(int64_t first_row) {
  ImageBatch batch;
  for (int64_t row = first_row; row < first_row + kBatch; ++row) {
    batch.rows.push_back(row);
    batch.images.push_back({testing::example_digest(row), row == 3 ? "bad" : ""});
  }
  return batch;
}

at::Tensor maps_from(const Manifest& manifest, int64_t first_row) {
  const BackboneInfo& backbone = manifest.backbone;
  auto maps = at::empty({kBatch, manifest.layers(), backbone.tokens, backbone.dim}, manifest.dtype);
  auto* bytes = static_cast<char*>(maps.mutable_data_ptr());
  for (int64_t i = 0; i < kBatch; ++i) {
    const auto row = testing::example_row(manifest, first_row + i);
    std::memcpy(bytes + static_cast<size_t>(i) * row.size(), row.data(), row.size());
  }
  return maps;
}

TEST(RowWriter, WritesEveryRowOnAnyNumberOfThreads) {
  const testing::TemporaryFolder folder;
  const Manifest manifest = testing::example_manifest(kRows);
  testing::write_example_store(folder / "expected.h5", manifest);
  for (const int threads : {1, 3}) {
    const std::string path = folder / ("a" + std::to_string(threads) + ".h5");
    FeatureStoreWriter store(path, manifest);
    {
      RowWriter writer(store, threads);
      for (int64_t row = 0; row < kRows; row += kBatch) {
        writer.write(batch_from(row), maps_from(manifest, row));
        if (row == 16) {
          writer.flush();
          EXPECT_EQ(store.rows_stored(), 19);  // row 3 is bad
        }
      }
    }
    store.finish();
    EXPECT_EQ(testing::read_bytes(path), testing::read_bytes(folder / "expected.h5"));
  }
}

TEST(RowWriter, PassesOnWhatWentWrongAndEnds) {
  const testing::TemporaryFolder folder;
  const Manifest manifest = testing::example_manifest(kRows);
  FeatureStoreWriter store(folder / "a.h5", manifest);
  RowWriter writer(store, 2);
  auto maps = maps_from(manifest, 4);
  static_cast<c10::Half*>(maps.mutable_data_ptr())[0] = std::numeric_limits<float>::infinity();
  writer.write(batch_from(0), maps_from(manifest, 0));
  writer.write(batch_from(4), maps);
  const std::string expected = "row 4 (\"class 1/bild_ü_4.jpg\"), layer 0, token 0, channel 0";
  EXPECT_NE(error_of([&] { writer.flush(); }).find(expected), std::string::npos);
  EXPECT_NE(error_of([&] { writer.write(batch_from(8), maps); }).find(expected), std::string::npos);
  EXPECT_EQ(store.state(4), RowState::kAbsent);
  EXPECT_EQ(store.state(0), RowState::kStored);
}

}  // namespace
}  // namespace last
