#include "extractor/evaluate/predictions.h"

#include <limits>

#include <gtest/gtest.h>

#include "tests/common/feature_store/example_store.h"
#include "tests/extractor/evaluate/example_bundle.h"

namespace last {
namespace {

std::shared_ptr<const TargetLabels> labels(std::vector<int32_t> values,
                                           std::vector<std::string> names) {
  return std::make_shared<TargetLabels>(TargetLabels{std::move(values), std::move(names)});
}

TEST(Predictions, GiveEqualProbabilitiesInTheOrderOfTheClasses) {
  const auto network = classifier(3, {"a", "b", "c"});
  Predictions predictions(network, labels({1, kUnlabelled}, {"a", "b", "c"}), 2);
  const float tied[] = {0.25F, 0.5F, 0.25F};
  EXPECT_EQ(predictions.add(0, "x.png", tied), "x.png,b,7,shape,b,0.5,a,0.25\n");
  const float all[] = {0.375F, 0.375F, 0.25F};
  EXPECT_EQ(predictions.add(1, "y.png", all), "y.png,,7,shape,a,0.375,b,0.375\n");
  EXPECT_EQ(predictions.summary(), "7,shape,2,100,100\n");  // two images, one with a label
  EXPECT_EQ(predictions.confusion(), "7,shape,b,b,1\n");
}

TEST(Predictions, LeaveCellsEmptyWhereThereAreFewerClasses) {
  EXPECT_EQ(Predictions::header(2),
            "path,label,network,target,class_1,probability_1,class_2,probability_2\n");
  Predictions predictions(classifier(2, {}), labels({kUnlabelled}, {"0", "1"}), 4);
  const float values[] = {0.25F, 0.75F};
  EXPECT_EQ(predictions.add(0, "x.png", values), "x.png,,7,shape,1,0.75,0,0.25,,,,\n");
  EXPECT_EQ(predictions.summary(), "7,shape,1,,\n");
  EXPECT_EQ(predictions.confusion(), "");
}

TEST(Predictions, QuoteNamesThatNeedIt) {
  auto network = classifier(2, {"a,b", "say \"c\""});
  network.name = "my,run/3";
  Predictions predictions(network, labels({2}, {"a,b", "say \"c\"", "two\nlines"}), 1);
  const float values[] = {0.25F, 0.75F};
  EXPECT_EQ(predictions.add(0, "\"x,1.png\"", values),
            "\"x,1.png\",\"two\nlines\",\"my,run/3\",shape,\"say \"\"c\"\"\",0.75\n");
  EXPECT_EQ(predictions.summary(), "\"my,run/3\",shape,1,0,0\n");
  EXPECT_EQ(predictions.confusion(), "\"my,run/3\",shape,\"two\nlines\",\"say \"\"c\"\"\",1\n");
}

TEST(Predictions, RefuseWhatIsNoNumber) {
  Predictions predictions(classifier(2, {}), labels({0}, {"0", "1"}), 1);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float values[] = {nan, nan};
  const auto message = testing::error_of([&] { predictions.add(0, "x.png", values); });
  EXPECT_NE(message.find("7,shape"), std::string::npos) << message;
  EXPECT_NE(message.find("x.png"), std::string::npos) << message;
  EXPECT_EQ(predictions.summary(), "7,shape,0,,\n");
}

}  // namespace
}  // namespace last
