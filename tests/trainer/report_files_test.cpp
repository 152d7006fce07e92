#include <cmath>
#include <filesystem>
#include <functional>
#include <unistd.h>

#include <gtest/gtest.h>

#include "common/error.h"
#include "common/io/file.h"
#include "trainer/report/network_table_reader.h"
#include "trainer/report/predictions_file.h"

namespace last {
namespace {

// A file of its own for every test.
class ReportFiles : public testing::Test {
 protected:
  std::string write(const std::string& text) {
    write_file_atomically(path_, text);
    return path_;
  }
  void TearDown() override { std::filesystem::remove(path_); }

 private:
  std::string path_ = concat(testing::TempDir(), "/report_files_", ::getpid(), ".csv");
};

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST_F(ReportFiles, ANetworkTableReadBackIsWrittenTheSame) {
  NetworkRow last;
  last.setting = {7, 1, {}, 3e-4, 10, 0.5, 0.1, 42};
  last.setting.network.rank = 8;
  last.setting.network.heads = 2;
  last.setting.network.variant = Variant::kC;
  last.setting.network.biases = true;
  last.setting.network.pool = Pool::kCls;
  last.setting.network.norm = FinalNorm::kTrainable;
  last.stage = "search";
  last.target = "a,\"b\"";
  last.epochs = 30;
  last.parameters = 1234;
  last.parameters_without_head = 1000;
  last.train_data = "train";
  last.progress.val_accuracy = 200.0 / 3;
  last.progress.val_loss = 1.0 / 3;
  last.progress.seconds = 2.5;
  NetworkRow linear = last;
  linear.setting.index = 8;
  linear.setting.network = {};
  linear.setting.network.method = Method::kLinear;
  linear.progress.status = NetworkStatus::kStopped;
  linear.progress.test_accuracy = 50;

  const auto text = network_table_csv({last, linear});
  const auto rows = read_network_table(write(text), {"label", "a,\"b\""});
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(network_table_csv(rows), text);
  EXPECT_EQ(rows[0].setting.target, 1);
  EXPECT_TRUE(same_but_for_seed(rows[0].setting, last.setting));
  EXPECT_TRUE(std::isnan(rows[0].progress.test_accuracy));
}

TEST_F(ReportFiles, FurtherColumnsOfANetworkTableAreSkipped) {
  NetworkRow row;
  row.target = "label";
  row.stage = "search";
  auto text = network_table_csv({row});
  text.insert(text.find('\n'), ",rung");
  text.insert(text.size() - 1, ",3");
  EXPECT_EQ(read_network_table(write(text), {"label"}).size(), 1u);
}

constexpr char kPredictions[] =
    "path,label,network,prediction,probability,label_probability,data\n"
    "a.png,cat,3,dog,0.75,0.25,test\n"
    "b.png,dog,3,dog,0.5,0.5,test\n"
    "c.png,,3,cat,0.875,,test\n"
    "a.png,cat,9,cat,0.5,0.5,test\n"
    "d.png,cat,3,dog,0.75,0.125,test\n";

TEST_F(ReportFiles, PredictionsComeByNetworkWithClassesAsIndices) {
  const auto sets = read_predictions(write(kPredictions), {"cat", "dog"}, 2);
  ASSERT_EQ(sets.size(), 2u);
  EXPECT_EQ(sets[0].network, 3);
  EXPECT_EQ(sets[1].network, 9);
  EXPECT_EQ(sets[0].data, "test");
  ASSERT_EQ(sets[0].predictions.size(), 4u);
  EXPECT_EQ(sets[0].predictions[2].label, -1);
  EXPECT_TRUE(std::isnan(sets[0].predictions[2].label_probability));
  using Cell = std::array<int64_t, 3>;
  EXPECT_EQ(confusion_of(sets[0]), (std::vector<Cell>{{0, 1, 2}, {1, 1, 1}}));
  const auto worst = worst_of(sets[0], 10);
  ASSERT_EQ(worst.size(), 2u);  // neither what is right nor what has no label
  EXPECT_EQ(worst[0].path, "d.png");
  EXPECT_EQ(worst_of(sets[0], 1).size(), 1u);
}

TEST_F(ReportFiles, PredictionsOfAnEnsembleHaveNoNetwork) {
  const auto sets =
      read_predictions(write("path,label,network,prediction,probability,label_probability,data\n"
                             "a,0,ensemble,1,0.5,0.5,val\n"),
                       {}, 2);
  ASSERT_EQ(sets.size(), 1u);
  EXPECT_FALSE(sets[0].network.has_value());
  EXPECT_EQ(sets[0].data, "val");
}

TEST_F(ReportFiles, PredictionsOfClassesThatTheNetworkDoesNotHaveAreRefused) {
  const auto names = message_of([&] { read_predictions(write(kPredictions), {"cat", "cow"}, 2); });
  EXPECT_NE(names.find(":2: column prediction: \"dog\""), std::string::npos) << names;
  const auto indices = message_of([&] {
    read_predictions(write("path,label,network,prediction,probability,label_probability,data\n"
                           "a,0,1,2,0.5,0.5,val\n"),
                     {}, 2);
  });
  EXPECT_NE(indices.find("0..1 expected"), std::string::npos) << indices;
}

}  // namespace
}  // namespace last
