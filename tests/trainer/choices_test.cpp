#include "trainer/commands/choices.h"

#include <cmath>

#include <gtest/gtest.h>

#include "trainer/commands/publish.h"

namespace last {
namespace {

NetworkRow row(int64_t index, Method method, double rate, int64_t seed, double val,
               NetworkStatus status = NetworkStatus::kOk) {
  NetworkRow r;
  r.setting.index = index;
  r.setting.network.method = method;
  r.setting.learning_rate = rate;
  r.setting.seed = seed;
  r.progress.val_accuracy = val;
  r.progress.status = status;
  return r;
}

const double kUnmeasured = NetworkProgress().val_accuracy;

TEST(Choices, ASettingThatLostASeedIsNoCandidate) {
  const auto [chosen, warnings] =
      choose_per_method({row(0, Method::kLast, 1e-3, 0, 80), row(1, Method::kLast, 1e-3, 1, 82),
                         row(2, Method::kLast, 1, 0, 99),
                         row(3, Method::kLast, 1, 1, kUnmeasured, NetworkStatus::kDiverged)},
                        {"label"}, Selection::kVal);
  ASSERT_EQ(chosen.size(), 1u);
  EXPECT_EQ(chosen[0].choice.setting.learning_rate, 1e-3);
  EXPECT_TRUE(warnings.empty());
}

TEST(Choices, SayWhyThereIsNone) {
  const auto diverged =
      choose_per_method({row(0, Method::kLast, 1, 0, kUnmeasured, NetworkStatus::kDiverged)},
                        {"label"}, Selection::kVal);
  ASSERT_EQ(diverged.warnings.size(), 1u);
  EXPECT_NE(diverged.warnings[0].find("diverged"), std::string::npos);
  const auto unvalidated = choose_per_method(
      {row(0, Method::kLast, 1, 0, kUnmeasured), row(1, Method::kLast, 2, 0, kUnmeasured)},
      {"label"}, Selection::kVal);
  ASSERT_EQ(unvalidated.warnings.size(), 1u);
  EXPECT_NE(unvalidated.warnings[0].find("--val"), std::string::npos);
  EXPECT_TRUE(unvalidated.chosen.empty());
}

TEST(Choices, WithoutValidationOneSettingIsChosenButNotOneOfTwoMethods) {
  for (const auto select : {Selection::kVal, Selection::kLast}) {
    const auto one =
        choose_per_method({row(0, Method::kLast, 1, 0, kUnmeasured)}, {"label"}, select);
    EXPECT_NE(best_of_target(one.chosen, 0), nullptr);
  }
  const auto two = choose_per_method(
      {row(0, Method::kLast, 1, 0, kUnmeasured), row(1, Method::kLinear, 1, 0, kUnmeasured)},
      {"label"}, Selection::kVal);
  EXPECT_EQ(two.chosen.size(), 2u);
  EXPECT_EQ(best_of_target(two.chosen, 0), nullptr);
}

// Nothing compares the probe with either of LAST's settings.
TEST(Choices, WithoutValidationTheOnlySettingOfOneMethodIsNotBetterThanSeveralOfAnother) {
  const std::vector<NetworkRow> rows = {row(0, Method::kLast, 1, 0, kUnmeasured),
                                        row(1, Method::kLast, 2, 0, kUnmeasured),
                                        row(2, Method::kLinear, 1, 0, kUnmeasured)};
  for (const auto select : {Selection::kVal, Selection::kLast}) {
    const auto [chosen, warnings] = choose_per_method(rows, {"label"}, select);
    ASSERT_EQ(chosen.size(), 1u);
    EXPECT_EQ(chosen[0].choice.setting.network.method, Method::kLinear);
    EXPECT_EQ(chosen[0].rivals, 2);
    EXPECT_EQ(chosen[0].basis(), "only one");
    EXPECT_EQ(best_of_target(chosen, 0), nullptr);
    EXPECT_EQ(warnings.size(), 1u);
  }
}

TEST(Choices, TheBasisCountsTheSettingsThatWereCompared) {
  const auto chosen =
      choose_per_method({row(0, Method::kLast, 1, 0, 70), row(1, Method::kLast, 1, 1, 72),
                         row(2, Method::kLast, 2, 0, 80), row(3, Method::kLast, 2, 1, 81),
                         row(4, Method::kLast, 3, 0, 90, NetworkStatus::kDiverged),
                         row(5, Method::kLinear, 1, 0, 60)},
                        {"label"}, Selection::kVal)
          .chosen;
  ASSERT_EQ(chosen.size(), 2u);
  EXPECT_EQ(chosen[0].basis(), "only one");
  EXPECT_EQ(chosen[1].basis(), "val, of 2");
  EXPECT_TRUE(chosen[1].by_val());
  EXPECT_EQ(best_of_target(chosen, 0), &chosen[1]);
}

TEST(Summary, SaysWhatTheSettingsWereChosenBy) {
  const auto summary = [](const std::vector<NetworkRow>& rows, Selection select) {
    const auto chosen = choose_per_method(rows, {"label"}, select).chosen;
    return summary_of(rows, chosen, select, /*retrained=*/false, {});
  };
  const auto by_val =
      summary({row(0, Method::kLast, 1, 0, 70), row(1, Method::kLast, 2, 0, 80)}, Selection::kVal);
  EXPECT_EQ(by_val.find("Best setting by validation accuracy:\n"), 0u) << by_val;
  EXPECT_NE(by_val.find("val, of 2"), std::string::npos) << by_val;
  const std::vector<NetworkRow> unvalidated = {row(0, Method::kLast, 1, 0, kUnmeasured),
                                               row(1, Method::kLast, 2, 0, kUnmeasured),
                                               row(2, Method::kLinear, 1, 0, kUnmeasured)};
  const auto mixed = summary(unvalidated, Selection::kVal);
  EXPECT_EQ(mixed.find("Best"), std::string::npos) << mixed;
  EXPECT_NE(mixed.find("only one"), std::string::npos) << mixed;
  EXPECT_NE(mixed.find("lr 2 wd 0.05  nothing"), std::string::npos) << mixed;
  const auto none = summary({unvalidated[0], unvalidated[1]}, Selection::kVal);
  EXPECT_NE(none.find("nothing is chosen"), std::string::npos) << none;
  EXPECT_EQ(
      summary({row(0, Method::kLast, 1, 0, 90), row(1, Method::kLast, 2, 0, 80)}, Selection::kLast)
          .find("chosen by"),
      std::string::npos);
}

TEST(Choices, WithoutSelectionValidationAccuraciesPlayNoPart) {
  const std::vector<NetworkRow> rows = {
      row(0, Method::kLast, 1, 0, 90), row(1, Method::kLast, 2, 0, 80),
      row(2, Method::kLinear, 1, 0, 70), row(3, Method::kLinear, 1, 1, 71)};
  const auto [chosen, warnings] = choose_per_method(rows, {"label"}, Selection::kLast);
  ASSERT_EQ(chosen.size(), 1u);  // the probe has one setting; LAST has two
  EXPECT_EQ(chosen[0].choice.setting.network.method, Method::kLinear);
  EXPECT_TRUE(std::isnan(chosen[0].choice.mean_val_accuracy));
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("no selection"), std::string::npos);
  EXPECT_EQ(all_settings(rows).size(), 3u);
  EXPECT_EQ(all_settings(rows)[2].size(), 2u);
}

// That another one diverged chooses nothing.
TEST(Choices, TheSurvivorOfSeveralSettingsIsNotTheOnlyOne) {
  const std::vector<NetworkRow> rows = {
      row(0, Method::kLast, 1, 0, kUnmeasured),
      row(1, Method::kLast, 2, 0, kUnmeasured, NetworkStatus::kDiverged)};
  for (const auto select : {Selection::kVal, Selection::kLast}) {
    const auto [chosen, warnings] = choose_per_method(rows, {"label"}, select);
    EXPECT_TRUE(chosen.empty());
    EXPECT_EQ(warnings.size(), 1u);
    const auto summary = summary_of(rows, chosen, select, /*retrained=*/false, {});
    EXPECT_NE(summary.find("nothing is chosen"), std::string::npos) << summary;
  }
  // Nor among methods.
  const auto methods =
      choose_per_method({row(0, Method::kLast, 1, 0, kUnmeasured),
                         row(1, Method::kLinear, 1, 0, kUnmeasured, NetworkStatus::kDiverged)},
                        {"label"}, Selection::kLast);
  ASSERT_EQ(methods.chosen.size(), 1u);
  EXPECT_EQ(best_of_target(methods.chosen, 0), nullptr);
}

TEST(Choices, AStoppedSettingIsNotChosenButWasCompared) {
  const auto stopped = row(0, Method::kLast, 1, 0, 99, NetworkStatus::kStopped);
  const auto [chosen, warnings] =
      choose_per_method({stopped, row(1, Method::kLast, 2, 0, 80), row(2, Method::kLast, 2, 1, 81),
                         row(3, Method::kLast, 3, 0, 85, NetworkStatus::kStopped),
                         row(4, Method::kLast, 3, 1, kUnmeasured, NetworkStatus::kDiverged),
                         row(5, Method::kLinear, 1, 0, 60)},
                        {"label"}, Selection::kVal);
  ASSERT_EQ(chosen.size(), 2u);
  EXPECT_EQ(chosen[1].choice.setting.learning_rate, 2);
  EXPECT_EQ(chosen[1].basis(), "val, of 2");
  EXPECT_EQ(chosen[1].rivals, 3);
  EXPECT_EQ(chosen[0].basis(), "only one");
  const auto none = choose_per_method({stopped}, {"label"}, Selection::kVal);
  ASSERT_EQ(none.warnings.size(), 1u);
  EXPECT_NE(none.warnings[0].find("stopped"), std::string::npos);
}

TEST(Choices, TiesBetweenMethodsAreDecidedAsThoseBetweenSettings) {
  auto linear = row(0, Method::kLinear, 1, 0, 80);
  auto last = row(1, Method::kLast, 1, 0, 80);
  linear.progress.val_loss = 0.7;
  last.progress.val_loss = 0.5;
  linear.parameters = 10;
  last.parameters = 100;
  const auto best = [&] {
    const auto chosen = choose_per_method({linear, last}, {"label"}, Selection::kVal).chosen;
    return best_of_target(chosen, 0)->choice.setting.network.method;
  };
  EXPECT_EQ(best(), Method::kLast);  // the lower loss
  linear.progress.val_loss = 0.5;
  EXPECT_EQ(best(), Method::kLinear);  // fewer parameters
  last.parameters = 10;
  last.setting.index = 0;
  linear.setting.index = 1;
  EXPECT_EQ(best(), Method::kLast);  // the lower index
  linear.progress.val_accuracy = std::nextafter(80.0, 81.0);
  EXPECT_EQ(best(), Method::kLast);  // rounding decides nothing
  linear.progress.val_accuracy = 81;
  EXPECT_EQ(best(), Method::kLinear);
}

TEST(Choices, TheRepresentativeIsTheLowestSeedThatEndedWell) {
  TargetChoice choice;
  choice.rows = {row(0, Method::kLast, 1, 5, 90), row(1, Method::kLast, 1, 3, 90),
                 row(2, Method::kLast, 1, 1, 0, NetworkStatus::kDiverged)};
  EXPECT_EQ(choice.representative()->setting.seed, 3);
}

}  // namespace
}  // namespace last
