#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "trainer/commands/run_data.h"
#include "trainer/commands/training_view.h"
#include "trainer/report/metrics_log.h"
#include "trainer/training/stage.h"
#include "trainer/training/stopper.h"

namespace last {

// Watches a stage: shows how far it is, logs every epoch, stops networks at the rungs of a search,
// saves it now and then, at its end, and when it is interrupted.
class StageKeeper {
 public:
  // `batches` per epoch; `run`: RunDirectory::identity(), for the checkpoint; what it refers to
  // must outlive it.
  StageKeeper(std::string checkpoint, std::vector<Bank>& banks, MetricsLog& log, int64_t batches,
              const Schedule& schedule, const StagePosition& start, const std::string& label,
              Stopper& stopper, const RunData& data, const std::string& run,
              double seconds_between_saves);

  StageObserver observer();

 private:
  void on_step(const StagePosition& position);
  void on_epoch(const StagePosition& position);
  void save(const StagePosition& position);

  std::string checkpoint_;
  std::vector<Bank>& banks_;
  Stopper& stopper_;
  const RunData& data_;
  std::string run_;
  MetricsLog& log_;
  int64_t batches_;
  Schedule schedule_;
  TrainingView view_;
  std::chrono::steady_clock::time_point saved_;
  double seconds_between_saves_;
  double least_wait_ = 0;  // seconds after the last save, for the time it took
};

}  // namespace last
