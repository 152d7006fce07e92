#include "tests/common/feature_store/large_store.h"

#include "common/threads/thread_pool.h"
#include "tests/common/feature_store/example_store.h"

namespace last::testing {

Manifest large_manifest(int64_t rows, int64_t tokens, int64_t dim) {
  Manifest manifest = example_manifest(1);
  BackboneInfo& backbone = manifest.backbone;
  backbone.depth = 12;
  backbone.layers = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  backbone.tokens = tokens;
  backbone.prefix_tokens = 1;
  backbone.grid_height = 1;
  backbone.grid_width = tokens - 1;
  backbone.norm_weight = backbone.norm_weight.repeat({dim / backbone.dim});
  backbone.norm_bias = backbone.norm_bias.repeat({dim / backbone.dim});
  backbone.dim = dim;
  manifest.rows = rows;
  manifest.total_rows = rows;
  manifest.views.assign(static_cast<size_t>(rows), 0);
  manifest.labels = {{"label", {}, {}}};
  manifest.sample_ids.clear();
  for (int64_t row = 0; row < rows; ++row) {
    manifest.sample_ids.push_back(std::to_string(row) + ".jpg");
    manifest.labels[0].labels.push_back(static_cast<int32_t>(row % 4));
  }
  return manifest;
}

Rows repeated_rows(const Manifest& manifest) {
  Rows rows;
  for (int64_t row = 0; row < 4; ++row) rows.push_back(example_row(manifest, row));
  return rows;
}

void write_large_store(const std::string& path, const Manifest& manifest, const Rows& rows,
                       int threads) {
  FeatureStoreWriter writer(path, manifest);
  ThreadPool(threads).for_each(manifest.rows, [&](int64_t row, int) {
    writer.write_row(row, rows[static_cast<size_t>(row) % rows.size()].data(), example_digest(row));
  });
  writer.finish();
}

}  // namespace last::testing
