#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "trainer/commands/choices.h"
#include "trainer/commands/run_directory.h"
#include "trainer/commands/stage_runner.h"
#include "trainer/report/summary.h"

namespace last {

// Networks of one target whose mean of probabilities answers together.
struct Ensemble {
  int64_t target = 0;
  std::string stage;             // of the members: "search" or "retrain"
  std::string train_data;        // of the members: "train" or "train+val"
  std::vector<Setting> members;  // in the order chosen; one that stands here twice counts twice
  double val_accuracy = std::numeric_limits<double>::quiet_NaN();   // percent
  double test_accuracy = std::numeric_limits<double>::quiet_NaN();  // percent
};

// Chooses for each target an ensemble of `size` members among the stage's networks that ended well,
// by their probabilities on val. A target without such networks has none.
std::vector<Ensemble> choose_ensembles(TrainedStage& stage, const StageRunner& stages,
                                       FeatureSource& val, const RunData& data, int64_t size);

// The members' settings that are not among `settings` yet, to be trained with them, numbered from
// `first_index`.
std::vector<Setting> missing_members(const std::vector<Ensemble>& ensembles,
                                     const std::vector<Setting>& settings, int64_t first_index);

// The same ensembles of the retrained networks: those of equal settings and seeds. Members that
// diverged are left out, and warnings say so.
std::vector<Ensemble> retrained_ensembles(const std::vector<Ensemble>& ensembles,
                                          const TrainedStage& retrained,
                                          std::vector<std::string>& warnings, const RunData& data);

// Writes ensemble.TARGET.safetensors out of the members' network files.
void publish_ensemble(const RunDirectory& directory, const Ensemble& ensemble, const RunData& data);

// A line of the final table.
SummaryLine summarize(const Ensemble& ensemble, const RunData& data);

// ensembles.csv: target,size,members,val_accuracy,test_accuracy,train_data,stage; members are
// network indices joined by ";".
std::string ensemble_table_csv(const std::vector<Ensemble>& ensembles, const RunData& data);

}  // namespace last
