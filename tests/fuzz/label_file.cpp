// Input: a file of --labels. Its labels are put into those of two stores, and targets are made of
// the columns, as `trainer run` does before it trains.

#include "trainer/data/label_file.h"

#include <algorithm>

#include "common/io/file.h"
#include "tests/common/feature_store/example_store.h"
#include "tests/fuzz/fuzz.h"
#include "trainer/data/targets.h"

namespace {

using namespace last;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

// `kind` holds names in the first store and other names in the second, `index` holds indices;
// row 3 of both is a bad image. make_seeds.py names the samples.
StoreGroup make_store(const fuzz::Folder& folder, const std::string& role,
                      const std::vector<std::string>& ids, const std::vector<std::string>& kinds) {
  Manifest manifest = testing::example_manifest(static_cast<int64_t>(ids.size()));
  manifest.sample_ids = ids;
  manifest.labels = {{"kind", {0, 1, kUnlabelled, 1}, kinds}, {"index", {2, 0, 1, 3}, {}}};
  manifest.views = {0, 0, 0, 0};
  const std::string path = folder / (role + ".h5");
  testing::write_example_store(path, manifest);
  return open_stores(role, {path});
}

void check_target(const Target& target, const std::vector<StoreGroup>& groups) {
  require(target.classes >= 1);
  require(target.class_names.empty() ||
          target.class_names.size() == static_cast<size_t>(target.classes));
  require(std::ranges::is_sorted(target.class_names));
  for (const StoreGroup& group : groups) {
    for (const int32_t label : target_labels(target, group.labels[0])) {
      require(label >= kUnlabelled && label < target.classes);
    }
  }
}

void check(const LabelFile& file, std::vector<StoreGroup> groups) {
  apply_labels(file, groups);
  for (const StoreGroup& group : groups) {
    for (const LabelColumn& column : group.labels[0].columns) {
      require(column.labels.size() == group.readers[0]->manifest().sample_ids.size());
      const int64_t limit =
          column.classes.empty() ? kMaxClassIndex + 1 : static_cast<int64_t>(column.classes.size());
      for (const int32_t label : column.labels) require(label >= kUnlabelled && label < limit);
    }
  }
  for (const std::string& column : file.rows.columns) {
    fuzz::expect_result_or_error([&] {
      const auto targets = resolve_targets({column}, {&groups[0].labels[0], &groups[1].labels[0]});
      check_target(targets.front(), groups);
      // What a network file and config.json hold of it; they are JSON texts.
      nlohmann::json({{"target", column}, {"class_names", targets.front().class_names}}).dump();
      require(Dataset(groups[0], targets, false).labels(0).size() == 3);
    });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::Folder folder;
  static const std::vector<StoreGroup> groups = {
      make_store(folder, "train", {"a.jpg", "b.jpg", "c d.jpg", "bad.jpg"}, {"cat", "dog"}),
      make_store(folder, "test", {"e.jpg", "b.jpg", "f,\"g\".jpg", "bad.jpg"}, {"7", "ant"})};
  const std::string path = folder / "labels.csv";
  write_file_atomically(path, std::string(fuzz::text_of(data, size)));
  fuzz::expect_result_or_error([&] { check(read_label_file(path), groups); });
  return 0;
}
