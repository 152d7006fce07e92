#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "trainer/data/targets.h"
#include "trainer/report/network_table.h"
#include "trainer/report/predictions_file.h"
#include "trainer/report/run_cost_file.h"

namespace last {

// One network's learning curve out of metrics.jsonl; NaN where unmeasured.
struct Curve {
  std::vector<int64_t> epochs;
  std::vector<double> train_loss, train_accuracy, val_accuracy;
};

// A line of ensembles.csv.
struct EnsembleRecord {
  int64_t target = 0;
  std::string stage;                           // of its members
  std::string train_data;                      // of its members
  std::vector<int64_t> members;                // networks; one that stands here twice counts twice
  double val_accuracy = 0, test_accuracy = 0;  // percent; NaN: unmeasured
};

// A finished run directory, as its files tell it.
struct RunRecord {
  std::string path;
  std::string name;       // the directory's own name
  nlohmann::json config;  // config.json
  std::optional<CostRecord> cost;
  std::vector<Target> targets;
  std::vector<NetworkRow> rows;                         // networks.csv
  std::map<int64_t, Curve> curves;                      // metrics.jsonl, by network
  std::vector<EnsembleRecord> ensembles;                // ensembles.csv
  std::vector<std::vector<PredictionSet>> predictions;  // by target; empty where there are none

  std::vector<std::string> target_names() const;
};

// An Error says what is missing or damaged, and that a run which is not finished has no report.
RunRecord read_run(const std::string& path);

}  // namespace last
