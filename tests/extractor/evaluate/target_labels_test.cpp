#include "extractor/evaluate/target_labels.h"

#include <gtest/gtest.h>

#include "tests/common/feature_store/example_store.h"
#include "tests/extractor/evaluate/example_bundle.h"

namespace last {
namespace {

ImageList list_of(const std::string& column, std::vector<int32_t> labels,
                  std::vector<std::string> classes) {
  ImageList list;
  for (size_t i = 0; i < labels.size(); ++i) list.ids.push_back(std::to_string(i) + ".png");
  list.paths = list.ids;
  list.labels = {{column, std::move(labels), std::move(classes)}};
  return list;
}

using Labels = std::vector<int32_t>;
using Texts = std::vector<std::string>;

TEST(TargetLabels, MatchesNamesThatAreInAnotherOrder) {
  const auto list = list_of("shape", {0, 1, 2, kUnlabelled, 0}, {"cross", "disc", "star"});
  Texts warnings;
  const auto matched = match_labels(list, classifier(3, {"star", "cross", "disc"}), &warnings);
  EXPECT_EQ(matched.labels, (Labels{1, 2, 0, kUnlabelled, 1}));
  EXPECT_EQ(matched.names, (Texts{"star", "cross", "disc"}));
  EXPECT_EQ(matched.text(2), "disc");
  EXPECT_TRUE(warnings.empty());
}

TEST(TargetLabels, NumbersUnknownClassesBehindTheNetworksOwn) {
  const auto list = list_of("shape", {0, 1, 2, 0}, {"blob", "disc", "egg"});
  Texts warnings;
  const auto matched = match_labels(list, classifier(2, {"disc", "star"}), &warnings);
  EXPECT_EQ(matched.labels, (Labels{2, 0, 3, 2}));
  EXPECT_EQ(matched.names, (Texts{"disc", "star", "blob", "egg"}));
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("2 of 3 classes are unknown"), std::string::npos) << warnings[0];
  EXPECT_NE(warnings[0].find("\"blob\""), std::string::npos) << warnings[0];
}

TEST(TargetLabels, RefusesAListOfWhichItKnowsNoClass) {
  const auto list = list_of("shape", {0, 1, 0}, {"cat", "dog"});
  Texts warnings;
  const auto message = testing::error_of([&] {
    match_labels(list, classifier(2, {"disc", "star"}), &warnings);
  });
  EXPECT_NE(message.find("none of the 2 classes"), std::string::npos) << message;
  EXPECT_NE(message.find("\"cat\" in the list, \"disc\" in the network"), std::string::npos)
      << message;
}

TEST(TargetLabels, TakesNumbersWhereThereAreNoNames) {
  Texts warnings;
  const auto matched = match_labels(list_of("shape", {2, 0, 4}, {}), classifier(3, {}), &warnings);
  EXPECT_EQ(matched.labels, (Labels{2, 0, 3}));  // 4 is unknown: the number behind 0, 1, 2
  EXPECT_EQ(matched.text(3), "4");
  EXPECT_EQ(warnings.size(), 1u);
}

TEST(TargetLabels, AreMissingWithoutTheColumn) {
  const auto network = classifier(2, {"disc", "star"});
  Texts warnings;
  const auto other = match_labels(list_of("colour", {0, 1}, {"red", "blue"}), network, &warnings);
  EXPECT_EQ(other.labels, (Labels{kUnlabelled, kUnlabelled}));
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("no label column \"shape\" (only \"colour\")"), std::string::npos)
      << warnings[0];
  auto bare = list_of("colour", {0, 1}, {});
  bare.labels.clear();
  EXPECT_EQ(match_labels(bare, network, &warnings).labels, (Labels{kUnlabelled, kUnlabelled}));
  EXPECT_EQ(warnings.size(), 1u);  // nothing to be said of a list without any labels
}

}  // namespace
}  // namespace last
