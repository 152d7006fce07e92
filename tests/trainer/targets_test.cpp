#include "trainer/data/targets.h"

#include <gtest/gtest.h>

#include "common/error.h"

namespace last {
namespace {

TEST(Targets, IndicesHaveLargestIndexPlusOneClassesOverAllStores) {
  const StoreLabels train{"train.h5", {{"label", {0, 1, kUnlabelled}, {}}}};
  const StoreLabels test{"test.h5", {{"label", {4, 0}, {}}}};
  const auto targets = resolve_targets({}, {&train, &test});
  ASSERT_EQ(targets.size(), 1u);
  EXPECT_EQ(targets[0].classes, 5);
  EXPECT_EQ(target_labels(targets[0], train), (std::vector<int32_t>{0, 1, kUnlabelled}));
}

TEST(Targets, NamesAreMatchedByNameAcrossStores) {
  const StoreLabels train{"train.h5", {{"kind", {0, 1}, {"cat", "dog"}}}};
  const StoreLabels test{"test.h5", {{"kind", {1, 0, kUnlabelled}, {"ant", "dog"}}}};
  const auto targets = resolve_targets({"kind"}, {&train, &test});
  EXPECT_EQ(targets[0].class_names, (std::vector<std::string>{"ant", "cat", "dog"}));
  EXPECT_EQ(target_labels(targets[0], train), (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(target_labels(targets[0], test), (std::vector<int32_t>{2, 0, kUnlabelled}));
}

TEST(Targets, RefusesWhatDoesNotFit) {
  const StoreLabels train{"train.h5", {{"kind", {0, 1}, {"cat", "dog"}}}};
  const StoreLabels test{"test.h5", {{"kind", {0, 1}, {}}}};
  EXPECT_THROW(resolve_targets({}, {&train, &test}), Error);   // names here, indices there
  EXPECT_THROW(resolve_targets({"colour"}, {&train}), Error);  // no such column
  EXPECT_THROW(resolve_targets({"kind", "kind"}, {&train}), UsageError);
  const StoreLabels empty{"empty.h5", {{"kind", {kUnlabelled, kUnlabelled}, {}}}};
  EXPECT_THROW(resolve_targets({}, {&empty}), Error);
  const StoreLabels bare{"bare.h5", {}};
  EXPECT_THROW(resolve_targets({}, {&bare}), Error);  // no column at all
}

}  // namespace
}  // namespace last
