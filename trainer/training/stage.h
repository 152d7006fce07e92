#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "trainer/training/bank.h"
#include "trainer/training/evaluation.h"

namespace last {

struct Schedule {
  int64_t epochs = 100;
  int64_t warmup_epochs = 10;
  int64_t batch_size = 32;
  int64_t data_seed = 0;
};

// How far a stage is.
struct StagePosition {
  int64_t epoch = 0;  // finished epochs
  int64_t batch = 0;  // finished batches of the epoch under way
};

// Hooks of a stage; each may throw, Interrupted included.
struct StageObserver {
  // After every step, at a place from which the stage can be resumed.
  std::function<void(const StagePosition&)> on_step;
  // After every epoch (position.batch = 0), before on_step's checkpoint of it. Networks whose
  // val_accuracy and val_loss were measured in this epoch have them set, otherwise NaN. It may take
  // networks out of the banks.
  std::function<void(const StagePosition&)> on_epoch;
  // During validation, with the number of samples done.
  std::function<void(int64_t)> on_validation;
  // Where given: whether to validate after this many finished epochs, whatever the period says.
  std::function<bool(int64_t)> wants_validation;
};

// Trains banks on one data set for all epochs of the schedule, every batch being read once for all
// of them, from `position` on.
//   val: measured every validation_period() epochs, at the last one, and where the observer wants
//   it; may be null.
void train_stage(std::vector<Bank>& banks, FeatureSource& train, FeatureSource* val,
                 const Schedule& schedule, StagePosition position, const c10::Device& device,
                 const StageObserver& observer);

// Epochs between two validations, so that they cost at most about a tenth of the training: a
// forward pass is a third of a step.
int64_t validation_period(int64_t train_samples, int64_t val_samples);

int64_t batches_per_epoch(const Dataset& train, const Schedule& schedule);

}  // namespace last
