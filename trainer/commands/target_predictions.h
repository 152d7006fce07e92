#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "trainer/commands/stage_runner.h"
#include "trainer/sweep/ensemble.h"

namespace last {

// Softmax of one network of a bank, fp64 [B, classes].
at::Tensor probabilities_of(const BatchLogits& batch, int64_t network, int64_t classes);

// Probabilities of the networks of one target that ended well on the labelled samples of a data
// set: of as many as fit into `most_bytes`, the best on val first.
class TargetPredictions {
 public:
  TargetPredictions(const TrainedStage& stage, const Dataset& data, const Target& target,
                    int64_t target_index, int64_t most_bytes);

  void add(const BatchLogits& batch);
  const Predictions& predictions() const { return predictions_; }
  // Networks that ended well and found no room.
  int64_t left_out() const { return left_out_; }
  const std::vector<Setting>& settings() const { return settings_; }  // of the candidates

 private:
  std::vector<int64_t> rows_;  // sample -> labelled sample, -1 where unlabelled
  std::map<size_t, std::vector<std::pair<int64_t, int64_t>>> slots_;  // bank -> position, candidate
  std::vector<Setting> settings_;
  Predictions predictions_;
  int64_t left_out_ = 0;
};

}  // namespace last
