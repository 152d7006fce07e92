// Damage of the files from which a training is resumed.

#include <filesystem>
#include <unistd.h>

#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "common/io/checksum.h"
#include "common/io/file.h"
#include "tests/damage.h"
#include "trainer/commands/joined_search.h"
#include "trainer/commands/run_directory.h"
#include "trainer/commands/run_part.h"
#include "trainer/report/metrics_log.h"
#include "trainer/report/run_checksums.h"
#include "trainer/report/run_cost_file.h"
#include "trainer/report/run_record.h"
#include "trainer/sweep/grid.h"
#include "trainer/training/checkpoint.h"

namespace last {
namespace {

constexpr int kFlips = 500;
constexpr int kTruncations = 50;

std::vector<Bank> example_banks() {
  BackboneInfo backbone;
  backbone.depth = 2;
  backbone.dim = 8;
  backbone.tokens = 5;
  backbone.prefix_tokens = 1;
  backbone.has_cls_token = true;
  backbone.grid_height = backbone.grid_width = 2;
  backbone.layers = {0, 1, 2};
  backbone.norm_weight = at::ones({8});
  backbone.norm_bias = at::zeros({8});
  SearchSpace space;
  space.methods = {Method::kLast, Method::kLinear};
  space.ranks = {2};
  space.seeds = {0, 1};
  return make_banks(make_grid(space, 1), {{"label", 3, {}}}, backbone, ComputeOptions());
}

std::vector<NetworkRow> example_rows() {
  std::vector<NetworkRow> rows;
  for (const auto& bank : example_banks()) {
    for (const auto& setting : bank.settings()) {
      NetworkRow row{setting, "search", "label", 4, 100, 76, "train", {}};
      row.progress.val_accuracy = 91.25;
      rows.push_back(row);
    }
  }
  return rows;
}

class RunDamage : public testing::Test {
 protected:
  RunDamage() : folder_(testing::TempDir() + "/run_damage." + std::to_string(::getpid())) {
    std::filesystem::create_directories(folder_);
  }
  ~RunDamage() override { std::filesystem::remove_all(folder_); }

  // What `action` does not refuse must be harmless.
  template <class Action, class Harmless>
  void expect_found_or_harmless(const std::string& path, const Action& action,
                                const Harmless& harmless) const {
    int found = 0;
    for_each_damage(read_text_file(path), kFlips, kTruncations,
                    [&](const std::string& bytes, const std::string& what) {
                      overwrite(path, bytes);
                      try {
                        action();
                        EXPECT_TRUE(harmless(bytes)) << what;
                      } catch (const Error& error) {
                        ++found;
                        EXPECT_NE(std::string(error.what()).find(path), std::string::npos)
                            << what << ": " << error.what();
                      }
                    });
    EXPECT_GT(found, kFlips / 4);
  }

  std::string folder_;
};

TEST_F(RunDamage, OfACheckpointIsFound) {
  const std::string path = folder_ + "/search.safetensors";
  auto banks = example_banks();
  save_checkpoint(path, banks, {3, 1}, {{"metrics_bytes", 0}});
  expect_found_or_harmless(
      path, [&] { load_checkpoint(path, banks); }, [](const std::string&) { return false; });
}

TEST_F(RunDamage, OfTheMetricsIsFoundUpToWhereTheyCount) {
  const std::string path = folder_ + "/metrics.jsonl";
  const auto banks = example_banks();
  MetricsLog::Position counted;
  {
    MetricsLog log(path, {});
    log.append_epoch(banks, 1, 4, 1);
    log.append_epoch(banks, 2, 4, 1);
    counted = log.position();
    log.append_epoch(banks, 3, 4, 1);  // after the checkpoint: will be written again
  }
  const std::string start = read_text_file(path).substr(0, counted.bytes);
  expect_found_or_harmless(
      path, [&] { MetricsLog(path, counted); },
      [&](const std::string& bytes) {
        return bytes.substr(0, counted.bytes) == start && read_text_file(path) == start;
      });
}

TEST_F(RunDamage, OfTheConfigurationIsFoundOrHarmless) {
  const nlohmann::json config = {
      {"program", "trainer 0.1.0"},
      {"options", {{"rank", {4, 8}}, {"learning_rate", {1e-3}}, {"epochs", 4}}},
      {"data", {{"train", {{"content_sha256", std::string(64, 'a')}, {"images", 96}}}}},
      {"part", {{"index", 0}, {"count", 1}}},
      {"features", {{"layers", {0, 1, 2}}}},
      {"machine", {{"threads", 2}, {"train", {"train.h5"}}}}};
  { const RunDirectory directory(folder_, config); }
  // The rest is for the record, and not read.
  const auto harmless = [&](const std::string& bytes) {
    const auto read = nlohmann::json::parse(bytes);
    return read.at("options") == config.at("options") && read.at("data") == config.at("data") &&
           read.at("part") == config.at("part");
  };
  expect_found_or_harmless(
      folder_ + "/config.json", [&] { RunDirectory(folder_, config); }, harmless);
}

TEST_F(RunDamage, OfATableOfAFinishedRunIsFound) {
  const RunDirectory directory(folder_, {{"options", 1}, {"data", 2}, {"part", 3}});
  const std::string table = "network,target,val_accuracy\n0,shape,91.25\n1,shape,92.5\n";
  std::vector<std::string> names = {"networks.csv", "summary.txt", "ensembles.csv", "metrics.jsonl",
                                    "predictions.shape.csv"};
  for (size_t i = 1; i < names.size(); ++i) overwrite(directory.file(names[i]), names[i] + table);
  save_run_checksums(folder_, table);
  EXPECT_FALSE(directory.finished());
  overwrite(directory.file("networks.csv"), table);
  EXPECT_TRUE(directory.finished());
  overwrite(directory.file("cost.json"), "{}");  // written after the tables, checked by itself
  EXPECT_TRUE(directory.finished());
  names.emplace_back("config.json");
  for (const std::string& name : names) {
    const std::string sound = read_text_file(directory.file(name));
    expect_found_or_harmless(
        directory.file(name), [&] { directory.finished(); },
        [](const std::string&) { return false; });
    overwrite(directory.file(name), sound);
  }
  const std::string checksums = read_text_file(directory.file("checksums.json"));
  expect_found_or_harmless(
      directory.file("checksums.json"), [&] { directory.finished(); },
      [&](const std::string& bytes) {
        return nlohmann::json::parse(bytes) == nlohmann::json::parse(checksums);
      });
  overwrite(directory.file("checksums.json"), checksums);
  std::filesystem::remove(directory.file("metrics.jsonl"));
  EXPECT_TRUE(directory.finished());
}

// The command that ran says what the configuration was; who only reads the run has the checksum.
TEST_F(RunDamage, OfTheConfigurationOfAFinishedRunIsNoOtherConfiguration) {
  const nlohmann::json config = {{"options", {{"epochs", 3}}}, {"data", 2}, {"part", 3}};
  const std::string path = folder_ + "/config.json";
  { const RunDirectory directory(folder_, config); }
  overwrite(folder_ + "/networks.csv", "network\n");
  save_run_checksums(folder_, "network\n");
  const std::string sound = read_text_file(path);
  std::string damaged = sound;
  damaged[sound.find('3')] = '7';
  overwrite(path, damaged);
  try {
    RunDirectory(folder_, config);
    FAIL() << "no error";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("\"" + path + "\" is not what it was"), std::string::npos) << message;
    EXPECT_NE(message.find("remove it"), std::string::npos) << message;
  }
  std::filesystem::remove(path);
  { const RunDirectory directory(folder_, config); }
  EXPECT_EQ(read_text_file(path), sound);
}

TEST_F(RunDamage, OfTheCostIsFoundOrHarmless) {
  const std::string path = folder_ + "/cost.json";
  const CostRecord cost = {3, 1234.5678, int64_t{5} << 30};
  save_cost(path, cost);
  CostRecord read;
  expect_found_or_harmless(
      path, [&] { read = load_cost(path); },
      [&](const std::string&) {
        return read.sessions == cost.sessions && read.seconds == cost.seconds &&
               read.peak_memory_bytes == cost.peak_memory_bytes;
      });
}

// What `trainer merge` leaves for a run that chooses and retrains: other numbers would choose
// others.
TEST_F(RunDamage, OfAJoinedSearchIsFound) {
  const RunDirectory directory(folder_, {{"options", 1}, {"data", 2}, {"part", 3}});
  const auto rows = example_rows();
  const std::string lines(1234, 'm');
  const uint32_t crc = crc32c(lines.data(), lines.size());
  overwrite(directory.file("metrics.jsonl"), lines + "of what follows the search\n");
  save_joined_search(directory, {rows, {lines.size(), crc}});
  const auto load = [&] { return load_joined_search(directory, {"label"}); };
  const auto loaded = load();
  ASSERT_TRUE(loaded.has_value());
  EXPECT_EQ(network_table_csv(loaded->rows), network_table_csv(rows));
  EXPECT_EQ(loaded->metrics.bytes, lines.size());
  EXPECT_EQ(loaded->metrics.crc32c, crc);
  const std::string table = directory.file("checkpoints/joined.csv");
  const std::string sound = read_text_file(table);
  expect_found_or_harmless(table, load, [](const std::string&) { return false; });
  overwrite(table, sound);
  const std::string record = directory.file("checkpoints/joined.json");
  const auto json = nlohmann::json::parse(read_text_file(record));
  expect_found_or_harmless(
      record, load, [&](const std::string& bytes) { return nlohmann::json::parse(bytes) == json; });
  overwrite(record, json.dump());
  expect_found_or_harmless(directory.file("metrics.jsonl"), load, [&](const std::string& bytes) {
    return bytes.compare(0, lines.size(), lines) == 0;
  });
}

// The JSON library copies and writes values by recursion: deep ones would overflow the stack.
TEST_F(RunDamage, JsonThatIsNestedDeeplyIsRefused) {
  constexpr size_t kLevels = 1'000'000;
  const std::string nested =
      R"({"checksums.json":"","a":)" + std::string(kLevels, '[') + std::string(kLevels, ']') + "}";
  const auto expect_refused = [&](const std::string& path, const auto& action) {
    const std::string sound = std::filesystem::exists(path) ? read_text_file(path) : "";
    overwrite(path, nested + "\n");
    try {
      action();
      ADD_FAILURE() << path << ": no error";
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find(path), std::string::npos) << message;
      EXPECT_NE(message.find("nested deeper than 64"), std::string::npos) << message;
    }
    overwrite(path, sound);
  };
  const auto targets = nlohmann::json::array({{{"name", "label"}, {"classes", 3}}});
  const RunDirectory directory(folder_,
                               {{"options", 1}, {"part", 3}, {"data", {{"targets", targets}}}});
  save_joined_search(directory, {example_rows(), {}});
  expect_refused(directory.file("checkpoints/joined.json"),
                 [&] { load_joined_search(directory, {"label"}); });
  expect_refused(directory.file("cost.json"), [&] { load_cost(directory.file("cost.json")); });
  overwrite(directory.file("networks.csv"), network_table_csv(example_rows()));
  expect_refused(directory.file("checksums.json"), [&] { directory.finished(); });
  std::filesystem::remove(directory.file("checksums.json"));
  std::filesystem::remove(directory.file("cost.json"));
  expect_refused(directory.file("metrics.jsonl"), [&] { read_run(folder_); });
  expect_refused(directory.file("config.json"), [&] { read_run(folder_); });
  expect_refused(directory.file("config.json"), [&] { read_run_part(folder_); });
}

}  // namespace
}  // namespace last
