#include <cmath>

#include <gtest/gtest.h>

#include "common/error.h"
#include "common/io/file.h"
#include "trainer/report/network_table.h"
#include "trainer/report/network_table_reader.h"
#include "trainer/report/ranking.h"
#include "trainer/report/summary.h"

namespace last {
namespace {

NetworkRow row(int64_t index, Method method, int64_t seed, double val, double test) {
  NetworkRow r;
  r.setting.index = index;
  r.setting.network.method = method;
  r.setting.seed = seed;
  r.stage = "search";
  r.target = "a,\"b\"";
  r.epochs = 30;
  r.parameters = 1000;
  r.parameters_without_head = 900;
  r.train_data = "train";
  r.progress.train_loss = 0.25;
  r.progress.val_accuracy = val;
  if (!std::isnan(val)) r.progress.val_loss = 0.5;
  r.progress.test_accuracy = test;
  r.progress.seconds = 1.5;
  return r;
}

TEST(NetworkTable, WritesTheContractsColumns) {
  const double nothing = NetworkProgress().val_accuracy;
  const auto csv = network_table_csv(
      {row(0, Method::kLast, 3, 91.5, nothing), row(1, Method::kLinear, 0, nothing, 80)});
  EXPECT_EQ(
      csv,
      "network,stage,method,target,rank,gap,heads,modules,variant,bias_correction,biases,pool,"
      "norm,learning_rate,head_learning_rate_scale,weight_decay,label_smoothing,seed,epochs,"
      "parameters,parameters_without_head,train_data,train_loss,val_accuracy,test_accuracy,"
      "seconds,status,val_loss\n"
      "0,search,last,\"a,\"\"b\"\"\",16,1,1,1,d,on,off,mean-patch,frozen,0.001,1,0.05,0,3,30,1000,"
      "900,train,0.25,91.5,,1.500,ok,0.5\n"
      "1,search,linear,\"a,\"\"b\"\"\",,,,,,,,mean-patch,frozen,0.001,1,0.05,0,0,30,1000,900,train,"
      "0.25,,80,1.500,ok,\n");
}

std::string file_of(const std::string& text) {
  const std::string path = testing::TempDir() + "networks.csv";
  write_file_atomically(path, text);
  return path;
}

TEST(NetworkTable, IsReadBackAsItWasWritten) {
  const double nothing = NetworkProgress().val_accuracy;
  auto odd = row(7, Method::kLast, 3, 100.0 / 3, nothing);
  odd.setting.network = {Method::kLast, 8,     2,    4,          3,
                         Variant::kC,   false, true, Pool::kCls, FinalNorm::kNone};
  odd.setting.learning_rate = 0.1 + 0.2;
  odd.setting.label_smoothing = 0.1;
  odd.progress.status = NetworkStatus::kDiverged;
  const auto text = network_table_csv({odd, row(8, Method::kLinear, 0, nothing, 80)});
  const auto rows = read_network_table(file_of(text), {"other", "a,\"b\""});
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].setting.network, odd.setting.network);
  EXPECT_EQ(rows[0].setting.learning_rate, 0.1 + 0.2);
  EXPECT_EQ(rows[0].setting.target, 1);
  EXPECT_EQ(network_table_csv(rows), text);
}

TEST(NetworkTable, DamageIsNamedWithItsLine) {
  const auto text = network_table_csv({row(0, Method::kLast, 0, 90, 80)});
  const auto message_of = [&](const std::string& from, const std::string& to) {
    auto damaged = text;
    damaged.replace(damaged.find(from), from.size(), to);
    try {
      read_network_table(file_of(damaged), {"a,\"b\""});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  const auto expect = [&](const char* from, const char* to, const char* part) {
    const auto message = message_of(from, to);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect("mean-patch", "median", "networks.csv:2: column pool");
  expect(",on,", ",yes,", "networks.csv:2: column bias_correction");
  expect(",90,", ",ninety,", "networks.csv:2: column val_accuracy");
  expect("\n0,", "\n0.5,", "networks.csv:2: column network");
  expect(",ok", ",fine", "column status");
  expect(",ok", "", "27 fields");
  expect("\"a,", "\"c,", "column target");
  expect("test_accuracy", "tests", "has no column \"test_accuracy\"");
}

TEST(Summary, IsMeanAndSampleDeviationOverSeeds) {
  auto diverged = row(2, Method::kLast, 2, 0, 0);
  diverged.progress.status = NetworkStatus::kDiverged;
  const auto line =
      summarize({row(0, Method::kLast, 0, 90, 80), row(1, Method::kLast, 1, 92, 84), diverged});
  EXPECT_EQ(line.networks, 2);
  EXPECT_DOUBLE_EQ(line.val_mean, 91);
  EXPECT_DOUBLE_EQ(line.test_mean, 82);
  EXPECT_NEAR(line.test_std, 2.8284271247461903, 1e-12);
  const auto text = summary_text({line});
  EXPECT_NE(text.find("82.00 +- 2.83"), std::string::npos) << text;
}

TEST(Ranking, IsInTheOrderOfChoosing) {
  const double nothing = NetworkProgress().val_accuracy;
  std::vector<NetworkRow> rows;
  const auto add = [&](double val, double loss, int64_t parameters) {
    auto& added = rows.emplace_back(row(std::ssize(rows), Method::kLast, 0, val, nothing));
    added.setting.learning_rate = static_cast<double>(rows.size());
    added.progress.val_loss = loss;
    added.parameters = parameters;
  };
  add(90, 0.3, 10);
  add(90, 0.2, 20);
  add(90, 0.2, 10);
  add(91, 0.9, 30);
  add(99, 0.1, 10);
  rows.back().progress.status = NetworkStatus::kStopped;
  add(98, 0.1, 10);
  add(98, 0.1, 10);  // a second seed that diverged
  rows.back().setting = rows[5].setting;
  rows.back().setting.index = 6;
  rows.back().setting.seed = 1;
  rows.back().progress.status = NetworkStatus::kDiverged;
  add(100, 0.1, 10);
  rows.back().stage = "retrain";
  add(100, 0.1, 10);
  rows.back().setting.target = 1;
  const auto first_networks = [&] {
    std::vector<int64_t> networks;
    for (const auto& setting : ranked_settings(rows, 0)) {
      networks.push_back(setting.front().setting.index);
    }
    return networks;
  };
  EXPECT_EQ(first_networks(), (std::vector<int64_t>{3, 2, 1, 0, 4, 5}));
  EXPECT_EQ(ranked_settings(rows, 0).back().size(), 2u);
  for (auto& each : rows) each.progress.val_accuracy = each.progress.val_loss = nothing;
  EXPECT_EQ(first_networks(), (std::vector<int64_t>{0, 1, 2, 3, 4, 5}));
}

}  // namespace
}  // namespace last
