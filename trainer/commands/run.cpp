#include "trainer/commands/run.h"

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>

#include <torch/headeronly/version.h>

#include "common/cli/device.h"
#include "common/cli/interrupt.h"
#include "common/cli/log.h"
#include "common/cli/parse.h"
#include "common/cli/program.h"
#include "common/cli/progress.h"
#include "common/cli/version.h"
#include "common/error.h"
#include "trainer/commands/choices.h"
#include "trainer/commands/outcome.h"
#include "trainer/commands/plan.h"
#include "trainer/commands/predictions.h"
#include "trainer/commands/run_cost.h"
#include "trainer/commands/run_data.h"
#include "trainer/commands/run_directory.h"
#include "trainer/commands/run_options.h"
#include "trainer/commands/stage_keeper.h"
#include "trainer/report/metrics_log.h"
#include "trainer/report/summary.h"
#include "trainer/report/tensorboard/tensorboard_log.h"
#include "trainer/training/checkpoint.h"

namespace last {
namespace {

using Clock = std::chrono::steady_clock;

// Reads features that are held in memory beforehand, so that it is seen and can be interrupted.
void load_resident(FeatureSource& source) {
  if (!source.resident() || source.loaded()) return;
  Progress progress("loading features", "rows", source.data().total_rows());
  source.load([&](int64_t done) {
    check_interrupt(kHowToGoOn);
    progress.update(done);
  });
  progress.finish();
}

class Run {
 public:
  Run(RunOptions options, RunData data)
      : options_(std::move(options)),
        data_(std::move(data)),
        compute_{resolve_device(options_.device), configure_threads(options_.threads),
                 options_.precision},
        grid_(make_grid(options_.space, static_cast<int64_t>(data_.targets.size()))) {}

  int execute();
  void show_plan() const { print_plan(options_, data_, grid_, compute_); }

 private:
  nlohmann::json config() const;
  std::string checkpoint_file(const std::string& stage) const;
  std::vector<std::string> target_names() const;
  // Trains a stage from its checkpoint on and measures the test set if asked for.
  std::vector<NetworkRow> run_stage(const RunDirectory& directory, const std::string& stage,
                                    const std::vector<Setting>& settings, FeatureSource& train,
                                    FeatureSource* val, FeatureSource* test,
                                    const std::string& train_data);
  void train_from_checkpoint(const RunDirectory& directory, const std::string& stage,
                             std::vector<Bank>& banks, FeatureSource& train, FeatureSource* val,
                             TensorboardLog& board);
  // Trains the choices again on train and val; their rows become the retrained networks'.
  std::vector<NetworkRow> retrain(const RunDirectory& directory, Sources& sources,
                                  std::vector<TargetChoice>& choices);
  void publish_best(const RunDirectory& directory, const std::vector<TargetChoice>& choices) const;

  RunOptions options_;
  RunData data_;
  ComputeOptions compute_;
  std::vector<Setting> grid_;
  uint64_t metrics_bytes_ = 0;  // length of metrics.jsonl up to the stages that are done
};

nlohmann::json Run::config() const {
  return {{"program", concat("trainer ", kVersion)},
          {"options", resolved_options(options_)},
          {"data", data_.description},
          {"features", data_.features},
          {"machine",
           {{"device", compute_.device.str()},
            {"threads", compute_.threads},
            {"libtorch", TORCH_VERSION},
            {"train", options_.train},
            {"val", options_.val},
            {"test", options_.test}}}};
}

std::string Run::checkpoint_file(const std::string& stage) const {
  return options_.run + "/checkpoints/" + stage + ".safetensors";
}

std::vector<std::string> Run::target_names() const {
  std::vector<std::string> names;
  for (const auto& target : data_.targets) names.push_back(target.name);
  return names;
}

void Run::train_from_checkpoint(const RunDirectory& directory, const std::string& stage,
                                std::vector<Bank>& banks, FeatureSource& train, FeatureSource* val,
                                TensorboardLog& board) {
  StagePosition position;
  if (const auto restored = load_checkpoint(checkpoint_file(stage), banks)) {
    position = restored->position;
    metrics_bytes_ = restored->extra.at("metrics_bytes").get<uint64_t>();
    log_info(
        concat(stage, ": going on after epoch ", position.epoch, " of ", options_.schedule.epochs));
  }
  if (position.epoch == options_.schedule.epochs) return;
  load_resident(train);
  if (val != nullptr) load_resident(*val);
  MetricsLog log(directory.file("metrics.jsonl"), metrics_bytes_);
  StageKeeper keeper(checkpoint_file(stage), banks, log,
                     batches_per_epoch(train.data(), options_.schedule), options_.schedule,
                     position, stage);
  auto observer = keeper.observer();
  observer.on_epoch = [&board, on_epoch = observer.on_epoch](const StagePosition& reached) {
    on_epoch(reached);
    board.follow();
  };
  train_stage(banks, train, val, options_.schedule, position, compute_.device, observer);
  metrics_bytes_ = log.bytes();
}

std::vector<NetworkRow> Run::run_stage(const RunDirectory& directory, const std::string& stage,
                                       const std::vector<Setting>& settings, FeatureSource& train,
                                       FeatureSource* val, FeatureSource* test,
                                       const std::string& train_data) {
  auto banks = make_banks(settings, data_.targets, data_.backbone, compute_);
  log_info(concat(stage, ": ", settings.size(),
                  settings.size() == 1 ? " network in " : " networks in ", banks.size(),
                  banks.size() == 1 ? " bank" : " banks", ", ", train.data().size(), " images (",
                  train_data, "), ", describe_device(compute_.device, compute_.threads)));
  TensorboardLog board(directory.file("tensorboard"), directory.file("metrics.jsonl"), settings,
                       target_names(), directory.start());
  train_from_checkpoint(directory, stage, banks, train, val, board);
  if (test != nullptr) {
    Progress progress("testing", "images", test->data().size());
    const auto accuracies =
        evaluate(banks, *test, options_.schedule.batch_size, compute_.device, [&](int64_t done) {
          check_interrupt(kHowToGoOn);
          progress.update(done);
        });
    progress.finish();
    for (size_t b = 0; b < banks.size(); ++b) {
      for (size_t k = 0; k < accuracies[b].size(); ++k) {
        banks[b].progress()[k].test_accuracy = accuracies[b][k];
      }
    }
  }
  const auto rows = network_rows(banks, data_, stage, train_data, options_.schedule.epochs);
  export_networks(banks, rows, data_, [&](int64_t index) { return directory.network_file(index); });
  board.finish(rows);
  return rows;
}

void Run::publish_best(const RunDirectory& directory,
                       const std::vector<TargetChoice>& choices) const {
  for (size_t t = 0; t < data_.targets.size(); ++t) {
    const auto* best = best_of_target(choices, static_cast<int64_t>(t));
    const auto* network = best == nullptr ? nullptr : best->representative();
    if (network == nullptr) {
      log_warning("target \"" + data_.targets[t].name + "\": no best network is exported");
      continue;
    }
    write_file_atomically(directory.file("best." + data_.targets[t].name + ".safetensors"),
                          read_text_file(directory.network_file(network->setting.index)));
  }
}

std::vector<NetworkRow> Run::retrain(const RunDirectory& directory, Sources& sources,
                                     std::vector<TargetChoice>& choices) {
  const auto settings =
      retrain_settings(choices, options_.retrain_seeds, static_cast<int64_t>(grid_.size()));
  FeatureSource both(data_.train.joined_with(data_.val), data_.maps, sources.train->resident());
  sources.train.reset();
  sources.val.reset();
  auto rows =
      run_stage(directory, "retrain", settings, both, nullptr, sources.test.get(), "train+val");
  const size_t seeds = options_.retrain_seeds.size();
  for (size_t i = 0; i < choices.size(); ++i) {
    const auto first = rows.begin() + static_cast<std::ptrdiff_t>(i * seeds);
    choices[i].rows.assign(first, first + static_cast<std::ptrdiff_t>(seeds));
  }
  return rows;
}

int Run::execute() {
  const RunDirectory directory(options_.run, config());
  if (directory.finished()) {
    log_info("\"" + options_.run + "\" is finished already");
    std::cout << read_text_file(directory.file("summary.txt"));
    return kExitDone;
  }
  const auto start = Clock::now();
  const RunCost cost(directory.file("cost.json"));
  auto sources = make_sources(data_, options_.memory);
  auto rows = run_stage(directory, "search", grid_, *sources.train, sources.val.get(),
                        options_.retrain ? nullptr : sources.test.get(), "train");
  auto [choices, warnings] = choose_per_method(rows, target_names());
  for (const auto& warning : warnings) log_warning(warning);
  if (options_.retrain && !choices.empty()) {
    const auto retrained = retrain(directory, sources, choices);
    rows.insert(rows.end(), retrained.begin(), retrained.end());
  }
  publish_best(directory, choices);
  write_predictions(directory, data_, choices, options_.schedule.batch_size, compute_);

  std::vector<SummaryLine> lines;
  for (const auto& choice : choices) lines.push_back(summarize(choice.rows));
  const std::string summary =
      lines.empty()
          ? ""
          : (data_.has_val() ? "Best setting by validation accuracy:\n" : "") + summary_text(lines);
  write_file_atomically(directory.file("summary.txt"), summary);
  write_file_atomically(directory.file("networks.csv"), network_table_csv(rows));
  log_info(concat(rows.size(), rows.size() == 1 ? " network in " : " networks in ",
                  format_duration(seconds_since(start)), "; tables and networks are in \"",
                  options_.run, "\""));
  std::cout << summary;
  const bool any = std::any_of(rows.begin(), rows.end(), [](const NetworkRow& row) {
    return row.progress.status == NetworkStatus::kOk;
  });
  if (!any) fail("every network diverged (try lower learning rates)");
  return kExitDone;
}

}  // namespace

int trainer_run(const std::vector<std::string>& arguments) {
  auto options = parse_run_options(arguments);
  if (!options) return kExitDone;
  install_interrupt_handlers(options->time_limit);
  auto data = open_run_data(*options);
  const bool dry_run = options->dry_run;
  Run run(std::move(*options), std::move(data));
  if (!dry_run) return run.execute();
  run.show_plan();
  return kExitDone;
}

}  // namespace last
