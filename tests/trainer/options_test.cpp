#include <fstream>

#include <gtest/gtest.h>

#include "common/error.h"
#include "trainer/commands/run_options.h"

namespace last {
namespace {

RunOptions parse(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--train", "a.h5,b.h5", "--run", "run"});
  return *parse_run_options(arguments);
}

std::string usage_error_of(const std::vector<std::string>& arguments) {
  try {
    parse(arguments);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no usage error";
}

TEST(RunOptions, EveryListOptionReachesTheGrid) {
  const auto o = parse({"--method",
                        "last,linear",
                        "--rank",
                        "4,8",
                        "--gap",
                        "1,2",
                        "--heads",
                        "1,2",
                        "--modules",
                        "1,2",
                        "--variant",
                        "b,c",
                        "--bias-correction",
                        "on,off",
                        "--biases",
                        "off,on",
                        "--pool",
                        "cls,mean-all",
                        "--norm",
                        "none,trainable",
                        "--learning-rate",
                        "1e-3,2e-3",
                        "--head-learning-rate-scale",
                        "1,10",
                        "--weight-decay",
                        "0,1",
                        "--label-smoothing",
                        "0,0.1",
                        "--seed",
                        "1,2"});
  // 2 pools, norms, rates, scales, decays, smoothings, seeds; 2 values of 7 module options.
  EXPECT_EQ(make_grid(o.space, 1).size(), static_cast<size_t>(128 * 128 + 128));
}

TEST(RunOptions, SingleValuesReachTheSchedule) {
  const auto o =
      parse({"--epochs",     "30",   "--warmup-epochs", "3",         "--batch-size",    "16",
             "--data-seed",  "9",    "--threads",       "1",         "--memory",        "2G",
             "--time-limit", "2h",   "--val-fraction",  "0.25",      "--target",        "x,y",
             "--test",       "t.h5", "--retrain",       "train+val", "--retrain-seeds", "4",
             "--dry-run"});
  EXPECT_EQ(o.train, (std::vector<std::string>{"a.h5", "b.h5"}));
  EXPECT_EQ(o.schedule.epochs, 30);
  EXPECT_EQ(o.schedule.warmup_epochs, 3);
  EXPECT_EQ(o.schedule.batch_size, 16);
  EXPECT_EQ(o.schedule.data_seed, 9);
  EXPECT_EQ(o.threads, 1);
  EXPECT_EQ(*o.memory, int64_t{2} << 30);
  EXPECT_EQ(*o.time_limit, 7200);
  EXPECT_EQ(o.val_fraction, 0.25);
  EXPECT_EQ(o.targets, (std::vector<std::string>{"x", "y"}));
  EXPECT_TRUE(o.retrain);
  EXPECT_EQ(o.retrain_seeds, (std::vector<int64_t>{4}));
  EXPECT_TRUE(o.dry_run);
}

TEST(RunOptions, ReadsAConfigurationFileThatTheCommandLineOverrules) {
  const std::string path = testing::TempDir() + "/options_test.ini";
  std::ofstream(path) << "rank=4,8\nepochs=20\nwarmup-epochs=2\n";
  const auto o = parse({"--config", path, "--epochs", "40"});
  EXPECT_EQ(o.space.ranks, (std::vector<int64_t>{4, 8}));
  EXPECT_EQ(o.schedule.epochs, 40);
  EXPECT_EQ(o.schedule.warmup_epochs, 2);
  std::ofstream(path) << "rnk=4\n";
  const auto message = usage_error_of({"--config", path});
  EXPECT_NE(message.find("rnk"), std::string::npos) << message;
  std::remove(path.c_str());
}

TEST(RunOptions, RefusesWhatCannotBeMeant) {
  const std::vector<std::pair<std::vector<std::string>, const char*>> cases = {
      {{"--epochs", "10,20"}, "is a list"},
      {{"--batch-size", "16,32"}, "is a list"},
      {{"--data-seed", "1,2"}, "is a list"},
      {{"--warmup-epochs", "100"}, "--warmup-epochs"},
      {{"--warmup-epochs", "-1"}, "is negative"},
      {{"--search", "halving", "--val", "v.h5", "--epochs", "4", "--warmup-epochs", "3"},
       "leave none after which networks could be stopped"},
      {{"--warmup-epochs", "9", "--epochs", "9"}, "9 is too long for --epochs 9"},
      {{"--epochs", "3"}, "10 (the default) is too long for --epochs 3"},
      {{"--epochs", "3"}, "give --warmup-epochs 0, 1 or 2"},
      {{"--epochs", "10"}, "give --warmup-epochs 0..9"},
      {{"--epochs", "2", "--preset", "quick"}, "3 (of --preset quick) is too long"},
      {{"--epochs", "0"}, "--epochs"},
      {{"--batch-size", "0"}, "--batch-size"},
      {{"--rank", "16", "--heads", "3"}, "does not divide"},
      {{"--rank", "0"}, "--rank"},
      {{"--rank", "x"}, "not an integer"},
      {{"--rank", "4,4"}, "twice"},
      {{"--rank", "4,"}, "empty"},
      {{"--learning-rate", "-1"}, "--learning-rate"},
      {{"--learning-rate", "nan"}, "not a number"},
      {{"--weight-decay", "-0.1"}, "--weight-decay"},
      {{"--label-smoothing", "1"}, "--label-smoothing"},
      {{"--method", "lora"}, "unknown method"},
      {{"--variant", "z"}, "unknown variant"},
      {{"--pool", "max"}, "unknown pool"},
      {{"--norm", "batch"}, "unknown norm"},
      {{"--bias-correction", "yes"}, "neither on nor off"},
      {{"--val-fraction", "1.5"}, "between 0 and 1"},
      {{"--val", "v.h5", "--val-fraction", "0.5"}, "exclude"},
      {{"--retrain", "all"}, "--retrain"},
      {{"--retrain", "train+val"}, "needs --val"},
      {{"--precision", "fp8"}, "--precision"},
      {{"--memory", "many"}, "--memory"},
      {{"--time-limit", "soon"}, "--time-limit"},
      {{"--learning-rte", "1"}, "did you mean --learning-rate"},
      {{"--val", "v.h5,v.h5"}, "twice"},
      {{"stray"}, "unexpected argument \"stray\""},
  };
  for (const auto& [arguments, part] : cases) {
    const auto message = usage_error_of(arguments);
    EXPECT_NE(message.find(part), std::string::npos) << arguments[0] << ": " << message;
  }
}

}  // namespace
}  // namespace last
