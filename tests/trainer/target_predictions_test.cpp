#include "trainer/commands/target_predictions.h"

#include <gtest/gtest.h>

#include "tests/common/feature_store/example_store.h"
#include "tests/common/last/example_network.h"

namespace last {
namespace {

TEST(TargetPredictions, KeepTheBestOnValThatFitAndCountTheOthers) {
  const testing::TemporaryFolder folder;
  testing::write_example_store(folder / "val.h5", testing::example_manifest(12));
  const StoreGroup group = open_stores("val", {folder / "val.h5"});
  const Dataset val(group, resolve_targets({"label"}, {&group.labels[0]}), /*all_views=*/false);
  const std::vector<Target> targets = {{"label", 3, {}}};
  std::vector<Setting> settings(3);
  for (int64_t i = 0; i < 3; ++i) settings[static_cast<size_t>(i)].index = i;
  TrainedStage stage;
  stage.banks = make_banks(settings, targets, example_network(FinalNorm::kFrozen).backbone, {});
  const double accuracies[] = {50, 70, 60};
  for (size_t i = 0; i < 3; ++i) stage.banks[0].progress()[i].val_accuracy = accuracies[i];

  const TargetPredictions all(stage, val, targets[0], 0, int64_t{1} << 20);
  EXPECT_EQ(all.left_out(), 0);
  EXPECT_EQ(all.settings().size(), 3u);
  const int64_t bytes = all.predictions().samples() * 3 * static_cast<int64_t>(sizeof(float));
  const TargetPredictions two(stage, val, targets[0], 0, 2 * bytes);
  EXPECT_EQ(two.left_out(), 1);
  ASSERT_EQ(two.settings().size(), 2u);
  EXPECT_EQ(two.settings()[0].index, 1);
  EXPECT_EQ(two.settings()[1].index, 2);
}

}  // namespace
}  // namespace last
