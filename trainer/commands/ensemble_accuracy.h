#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "trainer/commands/ensembles.h"

namespace last {

// Measures test accuracies of ensembles while their stage is tested.
class EnsembleAccuracy {
 public:
  EnsembleAccuracy(std::vector<Ensemble>& ensembles, const TrainedStage& stage,
                   const Dataset& test);

  LogitsObserver observer();
  // Sets test_accuracy of every ensemble whose target has labels.
  void finish();

 private:
  void add(const BatchLogits& batch);

  std::vector<Ensemble>& ensembles_;
  const TrainedStage& stage_;
  const Dataset& test_;
  std::vector<at::Tensor> sums_;  // per ensemble [B, C] of the batch under way, fp64
  std::vector<int64_t> correct_;
  std::vector<int64_t> labelled_;
};

}  // namespace last
