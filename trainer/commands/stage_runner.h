#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "trainer/commands/run_data.h"
#include "trainer/commands/run_directory.h"
#include "trainer/commands/run_options.h"
#include "trainer/report/metrics_log.h"
#include "trainer/report/network_table.h"
#include "trainer/report/tensorboard/tensorboard_log.h"
#include "trainer/training/bank.h"
#include "trainer/training/evaluation.h"
#include "trainer/training/stopper.h"

namespace last {

// Networks that were trained together on the same data: the search, or the retraining.
struct TrainedStage {
  std::string name;        // "search" or "retrain"
  std::string train_data;  // "train" or "train+val"
  std::vector<Bank> banks;
  std::vector<StoppedNetwork> stopped;
  std::unique_ptr<TensorboardLog> board;
};

// Trains, tests and exports the stages of a run, one after the other. What it is given must outlive
// it.
class StageRunner {
 public:
  StageRunner(const RunOptions& options, const RunData& data, const ComputeOptions& compute,
              const RunDirectory& directory)
      : options_(options), data_(data), compute_(compute), directory_(directory) {}

  // Stages that were trained elsewhere fill metrics.jsonl up to here: what follows is appended.
  void skip_metrics(const MetricsLog::Position& end) { metrics_ = end; }

  // Trains all settings from the stage's checkpoint on. val may be null.
  TrainedStage train(const std::string& name, const std::string& train_data,
                     const std::vector<Setting>& settings, std::vector<Rung> rungs,
                     FeatureSource& train, FeatureSource* val);
  // One pass of all networks over a data set; what it is for is shown as progress.
  std::vector<std::vector<Measured>> evaluate(TrainedStage& stage, FeatureSource& source,
                                              const std::string& label,
                                              const LogitsObserver& on_logits) const;
  // Measures the stage's accuracies on the test set.
  void test(TrainedStage& stage, FeatureSource& test, const LogitsObserver& on_logits) const;
  // Writes the networks' files and the end of their curves. Returns a row per network, stopped ones
  // included.
  std::vector<NetworkRow> export_stage(const TrainedStage& stage) const;

 private:
  void train_from_checkpoint(TrainedStage& stage, const std::vector<Setting>& settings,
                             Stopper& stopper, FeatureSource& train, FeatureSource* val);

  const RunOptions& options_;
  const RunData& data_;
  const ComputeOptions& compute_;
  const RunDirectory& directory_;
  MetricsLog::Position metrics_;  // of metrics.jsonl up to the stages that are done
};

}  // namespace last
