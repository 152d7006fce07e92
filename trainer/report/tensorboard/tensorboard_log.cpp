#include "trainer/report/tensorboard/tensorboard_log.h"

#include <cmath>
#include <filesystem>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/io/file.h"
#include "common/io/json_integer.h"
#include "common/io/json_text.h"
#include "trainer/report/summary.h"

namespace last {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr auto kBetweenWrites = std::chrono::seconds(20);
constexpr char kEventFile[] = "events.out.tfevents.0.last";
constexpr char kTestAccuracy[] = "test/accuracy";
// Keys of a line of metrics.jsonl and the curves they make.
constexpr std::pair<const char*, const char*> kCurves[] = {{"train_loss", "train/loss"},
                                                           {"train_accuracy", "train/accuracy"},
                                                           {"val_accuracy", "val/accuracy"},
                                                           {"val_loss", "val/loss"},
                                                           {"learning_rate", "learning_rate"}};

void append(const std::string& path, const std::string& bytes) {
  const auto file = File::open_read_write(path);
  file.write_at(bytes.data(), bytes.size(), file.size());
}

}  // namespace

Hyperparameters hyperparameters_of(const Setting& setting, const std::string& target) {
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  const auto& n = setting.network;
  Hyperparameters values = {{"method", to_string(n.method)},
                            {"target", target},
                            {"pool", to_string(n.pool)},
                            {"norm", to_string(n.norm)},
                            {"learning_rate", setting.learning_rate},
                            {"head_learning_rate_scale", setting.head_learning_rate_scale},
                            {"weight_decay", setting.weight_decay},
                            {"label_smoothing", setting.label_smoothing},
                            {"seed", number(setting.seed)}};
  if (n.method == Method::kLast) {
    values.insert({{"rank", number(n.rank)},
                   {"gap", number(n.gap)},
                   {"heads", number(n.heads)},
                   {"modules", number(n.modules)},
                   {"variant", to_string(n.variant)},
                   {"bias_correction", n.bias_correction},
                   {"biases", n.biases}});
  }
  return values;
}

TensorboardLog::TensorboardLog(std::string folder, std::string metrics, const std::string& stage,
                               const std::vector<Setting>& settings,
                               const std::vector<std::string>& targets, double start)
    : folder_(std::move(folder)), metrics_(std::move(metrics)), start_(start) {
  Hyperparameters examples = hyperparameters_of(Setting{}, "");
  examples["stage"] = stage;
  std::error_code error;
  fs::create_directories(folder_, error);
  for (const auto& setting : settings) {
    const auto& target = targets[static_cast<size_t>(setting.target)];
    auto& network = networks_[setting.index];
    network.wall_time = start;
    auto hyperparameters = hyperparameters_of(setting, target);
    hyperparameters["stage"] = stage;
    network.pending = version_record(start) +
                      session_start_record(start, hyperparameters,
                                           concat(target, ": ", describe(setting), ", ", stage));
    const std::string path = file_of(setting.index);
    fs::create_directories(fs::path(path).parent_path(), error);
    if (error) fail("can't create the folder of \"", path, "\": ", error.message());
    File::create(path);
  }
  std::vector<std::string> tags = {kTestAccuracy};
  for (const auto& [key, tag] : kCurves) tags.emplace_back(tag);
  tags.pop_back();  // learning_rate is no result
  write_file_atomically(folder_ + "/" + kEventFile,
                        version_record(start) + experiment_record(start, examples, tags));
  append_pending();
  written_ = {};  // what metrics.jsonl holds already is due at once
}

std::string TensorboardLog::file_of(int64_t network) const {
  return concat(folder_, "/network-", network, "/", kEventFile);
}

void TensorboardLog::read_metrics() {
  if (!fs::exists(metrics_)) return;
  const auto file = File::open_read(metrics_);
  std::string text(file.size() - bytes_read_, '\0');
  file.read_at(text.data(), text.size(), bytes_read_);
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    try {
      read_line(std::string_view(text).substr(begin, end - begin));
    } catch (const nlohmann::json::exception& error) {
      fail("\"", metrics_, "\" is damaged: ", error.what());
    }
  }
  bytes_read_ += begin;
}

void TensorboardLog::read_line(std::string_view text) {
  const auto line = parse_json(text, "\"" + metrics_ + "\"");
  const auto found = networks_.find(json_integer(line.at("network")));
  if (found == networks_.end()) return;
  auto& network = found->second;
  std::vector<std::pair<std::string, double>> values;
  for (const auto& [key, tag] : kCurves) {
    if (!line.at(key).is_null()) values.emplace_back(tag, line.at(key).get<double>());
  }
  if (!line.at("seconds").is_null()) {
    network.wall_time = start_ + line.at("seconds").get<double>();
  }
  network.pending += scalars_record(network.wall_time, json_integer(line.at("epoch")), values);
}

void TensorboardLog::append_pending() {
  for (auto& [index, network] : networks_) {
    if (!network.pending.empty()) append(file_of(index), network.pending);
    network.pending.clear();
  }
  written_ = Clock::now();
}

void TensorboardLog::follow() {
  if (Clock::now() - written_ < kBetweenWrites) return;
  read_metrics();
  append_pending();
}

void TensorboardLog::finish(const std::vector<NetworkRow>& rows) {
  read_metrics();
  for (const auto& row : rows) {
    const auto found = networks_.find(row.setting.index);
    if (found == networks_.end()) continue;
    auto& network = found->second;
    if (!std::isnan(row.progress.test_accuracy)) {
      network.pending += scalars_record(network.wall_time, row.epochs,
                                        {{kTestAccuracy, row.progress.test_accuracy}});
    }
    network.pending +=
        session_end_record(network.wall_time, row.progress.status != NetworkStatus::kDiverged);
  }
  append_pending();
}

}  // namespace last
