#include "trainer/commands/run.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <utility>

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
#include "trainer/commands/ensemble_accuracy.h"
#include "trainer/commands/ensembles.h"
#include "trainer/commands/joined_search.h"
#include "trainer/commands/outcome.h"
#include "trainer/commands/plan.h"
#include "trainer/commands/predictions.h"
#include "trainer/commands/publish.h"
#include "trainer/commands/run_cost.h"
#include "trainer/commands/run_data.h"
#include "trainer/commands/run_directory.h"
#include "trainer/commands/run_options.h"
#include "trainer/commands/stage_runner.h"
#include "trainer/report/network_table_reader.h"
#include "trainer/report/run_checksums.h"

namespace last {
namespace {

using Clock = std::chrono::steady_clock;

// So that the stores are found from other directories, too.
std::vector<std::string> absolute(std::vector<std::string> paths) {
  for (auto& path : paths) path = std::filesystem::absolute(path).lexically_normal();
  return paths;
}

// Measures test accuracies of a stage's networks and ensembles in one pass.
void test_stage(const StageRunner& stages, TrainedStage& stage, std::vector<Ensemble>& ensembles,
                FeatureSource& test) {
  EnsembleAccuracy accuracy(ensembles, stage, test.data());
  stages.test(stage, test, accuracy.observer());
  accuracy.finish();
}

// Where and how a run computes; what was left open in the options is decided there, too.
ComputeOptions resolve_compute(RunOptions& options) {
  ComputeOptions compute = {resolve_device(options.device), configure_threads(options.threads)};
  compute.warn = log_warning;
  compute.precision = options.precision = resolve_precision(options.precision, compute.device);
  return compute;
}

class Run {
 public:
  Run(RunOptions options, RunData data, const ComputeOptions& compute)
      : options_(std::move(options)),
        data_(std::move(data)),
        compute_(compute),
        settings_(make_grid(options_.space, static_cast<int64_t>(data_.targets.size()))),
        grid_size_(static_cast<int64_t>(settings_.size())) {
    if (options_.search.kind == SearchKind::kRandom) {
      settings_ = draw_settings(settings_, options_.search.draws,
                                static_cast<uint64_t>(options_.schedule.data_seed));
    }
    searched_ = static_cast<int64_t>(settings_.size());
    if (options_.search.kind == SearchKind::kRandom && searched_ == grid_size_) {
      log_info(concat("--search random:", options_.search.draws,
                      " leaves nothing out: no method has more settings"));
    }
    settings_ = settings_of_part(settings_, options_.part);
    joined_ = options_.part.is_whole() && holds_joined_search(options_.run);
    Retraining retrained;
    if (options_.retrain && options_.part.is_whole()) {
      retrained = largest_retraining(settings_, data_.targets, data_.backbone,
                                     static_cast<int64_t>(options_.retrain_seeds.size()),
                                     options_.ensemble);
    }
    memory_ = plan_memory(joined_ ? std::vector<Setting>{} : settings_, retrained, data_.targets,
                          data_.backbone, options_.schedule.batch_size,
                          feature_bytes(data_, options_.schedule.batch_size, options_.retrain),
                          options_.memory, compute_);
  }

  int execute();
  // An Error where execute() would find another run in the directory.
  void show_plan() const {
    check_run_directory(options_.run, config());
    print_plan(options_, data_, memory_, joined_, compute_);
  }

 private:
  nlohmann::json config() const;
  // Trains the choices again on train and val; their rows become the retrained networks'.
  // Ensembles of the retrained members are added to the list.
  std::vector<NetworkRow> retrain(StageRunner& stages, Sources& sources,
                                  std::vector<TargetChoice>& choices,
                                  std::vector<Ensemble>& ensembles) const;
  // The ensembles that a user of this run wants: of the retrained networks, where they were.
  bool is_final(const Ensemble& ensemble) const {
    return ensemble.stage == (options_.retrain ? "retrain" : "search");
  }
  void predict(const RunDirectory& directory, const std::vector<TargetChoice>& choices,
               const std::vector<Ensemble>& ensembles) const;
  void publish_ensembles(const RunDirectory& directory,
                         const std::vector<Ensemble>& ensembles) const;
  // Trains and tests this run's networks, unless `trainer merge` has joined those of other runs.
  // Ensembles of them are added to the list.
  std::vector<NetworkRow> search(const RunDirectory& directory, StageRunner& stages,
                                 Sources& sources, std::vector<Ensemble>& ensembles) const;
  // Merging sees no features: the predictions of what it chose are made here.
  void predict_joined(const RunDirectory& directory) const;
  // A part can't choose: that is for `trainer merge`.
  void finish_part(const RunDirectory& directory, const std::vector<NetworkRow>& rows) const;

  RunOptions options_;
  RunData data_;
  ComputeOptions compute_;
  std::vector<Setting> settings_;  // what this run searches, numbered as in the full grid
  int64_t grid_size_;              // networks of the full grid
  int64_t searched_ = 0;           // networks of all parts
  bool joined_ = false;            // the search was trained in parts and joined
  MemoryPlan memory_;
};

nlohmann::json Run::config() const {
  return {{"program", concat("trainer ", kVersion)},
          {"preset", options_.preset},
          {"options", resolved_options(options_)},
          {"data", data_.description},
          {"part", {{"index", options_.part.index}, {"count", options_.part.count}}},
          {"features", data_.features},
          {"machine",
           {{"device", compute_.device.str()},
            {"threads", compute_.threads},
            {"libtorch", TORCH_VERSION},
            {"train", absolute(options_.train)},
            {"val", absolute(options_.val)},
            {"test", absolute(options_.test)}}}};
}

std::vector<NetworkRow> Run::search(const RunDirectory& directory, StageRunner& stages,
                                    Sources& sources, std::vector<Ensemble>& ensembles) const {
  if (const auto joined = load_joined_search(directory, data_.target_names())) {
    log_info(concat("search: ", joined->rows.size(), " networks, trained in parts and joined"));
    stages.skip_metrics(joined->metrics);
    return joined->rows;
  }
  auto stage = stages.train("search", "train", settings_, rungs_of(options_), *sources.train,
                            sources.val.get());
  if (options_.ensemble > 0) {
    ensembles = choose_ensembles(stage, stages, *sources.val, data_, options_.ensemble);
  }
  if (sources.test && !options_.retrain) test_stage(stages, stage, ensembles, *sources.test);
  return stages.export_stage(stage);
}

void Run::predict(const RunDirectory& directory, const std::vector<TargetChoice>& choices,
                  const std::vector<Ensemble>& ensembles) const {
  // Without test images it is val that is predicted, which retrained networks have seen.
  std::vector<Ensemble> shown;
  for (const auto& ensemble : ensembles) {
    if (data_.has_test() ? is_final(ensemble) : ensemble.stage == "search") {
      shown.push_back(ensemble);
    }
  }
  write_predictions(directory, data_, choices, shown, options_.schedule.batch_size, compute_);
}

void Run::predict_joined(const RunDirectory& directory) const {
  const auto joined = load_joined_search(directory, data_.target_names());
  if (!joined || options_.retrain) return;
  const auto choices =
      choose_per_method(joined->rows, data_.target_names(), options_.select).chosen;
  const bool missing = std::any_of(choices.begin(), choices.end(), [&](const TargetChoice& choice) {
    const auto& target = data_.targets[static_cast<size_t>(choice.target)].name;
    return !std::filesystem::exists(directory.file("predictions." + target + ".csv"));
  });
  if (missing) {
    predict(directory, choices, {});
    save_run_checksums(directory.path(), read_text_file(directory.file("networks.csv")));
  }
}

void Run::finish_part(const RunDirectory& directory, const std::vector<NetworkRow>& rows) const {
  const auto summary =
      concat("Part ", options_.part.index, " of ", options_.part.count, ": ", rows.size(), " of ",
             searched_, " networks. `trainer merge` joins the parts and chooses.\n");
  publish_tables(directory, rows, summary);
  log_info("tables and networks of this part are in \"" + options_.run + "\"");
  std::cout << summary;
}

std::vector<NetworkRow> Run::retrain(StageRunner& stages, Sources& sources,
                                     std::vector<TargetChoice>& choices,
                                     std::vector<Ensemble>& ensembles) const {
  auto settings = retrain_settings(choices, options_.retrain_seeds, grid_size_);
  const auto members =
      missing_members(ensembles, settings, grid_size_ + static_cast<int64_t>(settings.size()));
  settings.insert(settings.end(), members.begin(), members.end());
  FeatureSource both(data_.train.joined_with(data_.val), data_.maps, sources.train->residence(),
                     sources.train->read_options());
  sources.train.reset();
  sources.val.reset();
  auto stage = stages.train("retrain", "train+val", settings, {}, both, nullptr);
  std::vector<std::string> warnings;
  auto again = retrained_ensembles(ensembles, stage, warnings, data_);
  for (const auto& warning : warnings) log_warning(warning);
  if (sources.test) test_stage(stages, stage, again, *sources.test);
  ensembles.insert(ensembles.end(), again.begin(), again.end());
  auto rows = stages.export_stage(stage);
  const size_t seeds = options_.retrain_seeds.size();
  for (size_t i = 0; i < choices.size(); ++i) {
    const auto first = rows.begin() + static_cast<std::ptrdiff_t>(i * seeds);
    choices[i].rows.assign(first, first + static_cast<std::ptrdiff_t>(seeds));
  }
  return rows;
}

void Run::publish_ensembles(const RunDirectory& directory,
                            const std::vector<Ensemble>& ensembles) const {
  for (size_t t = 0; t < data_.targets.size(); ++t) {
    const auto found = std::find_if(ensembles.begin(), ensembles.end(), [&](const Ensemble& e) {
      return e.target == static_cast<int64_t>(t) && is_final(e);
    });
    if (found == ensembles.end()) {
      log_warning("target \"" + data_.targets[t].name + "\": no ensemble is exported");
    } else {
      publish_ensemble(directory, *found, data_);
    }
  }
  write_file_atomically(directory.file("ensembles.csv"), ensemble_table_csv(ensembles, data_));
}

int Run::execute() {
  const RunDirectory directory(options_.run, config());
  const std::string split = directory.file("split.csv");
  if (!data_.split_csv.empty() && (!directory.finished() || !std::filesystem::exists(split))) {
    write_file_atomically(split, data_.split_csv);
  }
  if (directory.finished()) {
    log_info("\"" + options_.run + "\" is finished already");
    predict_joined(directory);
    std::cout << read_text_file(directory.file("summary.txt"));
    if (options_.part.is_whole()) {
      check_any_ended_well(
          read_network_table(directory.file("networks.csv"), data_.target_names()));
    }
    return kExitDone;
  }
  const auto start = Clock::now();
  const RunCost cost(directory.file("cost.json"));
  log_info(describe_memory(memory_));
  auto sources = make_sources(data_, memory_.residence, compute_.device);
  StageRunner stages(options_, data_, compute_, directory);
  std::vector<Ensemble> ensembles;
  auto rows = search(directory, stages, sources, ensembles);
  if (!options_.part.is_whole()) {
    finish_part(directory, rows);
    return kExitDone;
  }
  auto [choices, warnings] = choose_per_method(rows, data_.target_names(), options_.select);
  for (const auto& warning : warnings) log_warning(warning);
  if (options_.retrain && (!choices.empty() || !ensembles.empty())) {
    const auto retrained = retrain(stages, sources, choices, ensembles);
    rows.insert(rows.end(), retrained.begin(), retrained.end());
  }
  publish_best(directory, data_.target_names(), choices);
  predict(directory, choices, ensembles);
  if (options_.ensemble > 0) publish_ensembles(directory, ensembles);
  std::vector<SummaryLine> lines;
  for (const auto& ensemble : ensembles) {
    if (is_final(ensemble)) lines.push_back(summarize(ensemble, data_));
  }
  const auto summary = summary_of(rows, choices, options_.select, options_.retrain, lines);
  publish_tables(directory, rows, summary);
  log_info(concat(rows.size(), rows.size() == 1 ? " network in " : " networks in ",
                  format_duration(seconds_since(start)), "; tables and networks are in \"",
                  options_.run, "\""));
  std::cout << summary;
  check_any_ended_well(rows);
  return kExitDone;
}

}  // namespace

int trainer_run(const std::vector<std::string>& arguments) {
  auto options = parse_run_options(arguments);
  if (!options) return kExitDone;
  install_interrupt_handlers(options->time_limit);
  const auto compute = resolve_compute(*options);
  auto data = open_run_data(*options);
  const bool dry_run = options->dry_run;
  Run run(std::move(*options), std::move(data), compute);
  if (!dry_run) return run.execute();
  run.show_plan();
  return kExitDone;
}

}  // namespace last
