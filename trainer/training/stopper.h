#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "trainer/sweep/halving.h"
#include "trainer/training/bank.h"

namespace last {

// A network that a search stopped before the last epoch, with what was known of it then.
struct StoppedNetwork {
  Setting setting;
  int64_t epochs = 0;  // finished epochs
  NetworkProgress progress;
};

// Stops the worse networks of a stage at the rungs of successive halving. What goes on depends on
// the banks' progress at the rung alone, so that a resumed stage decides as an uninterrupted one.
class Stopper {
 public:
  explicit Stopper(std::vector<Rung> rungs) : rungs_(std::move(rungs)) {}

  const std::vector<Rung>& rungs() const { return rungs_; }
  // Whether a rung follows this many finished epochs: validation accuracies are needed then.
  bool due(int64_t epoch) const;
  // Takes the networks that stop after `epoch` finished epochs out of their banks, and out of the
  // list banks that are empty then; nothing where no rung is due.
  void apply(std::vector<Bank>& banks, const std::vector<Target>& targets,
             const BackboneInfo& backbone, int64_t epoch);
  const std::vector<StoppedNetwork>& stopped() const { return stopped_; }

  // For checkpoints. `settings`: of the whole stage; a state that names others is an Error.
  nlohmann::json state() const;
  void restore(const nlohmann::json& state, const std::vector<Setting>& settings);

 private:
  std::vector<Rung> rungs_;
  std::vector<StoppedNetwork> stopped_;
};

}  // namespace last
