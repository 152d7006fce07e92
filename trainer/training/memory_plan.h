#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "trainer/data/feature_source.h"
#include "trainer/training/bank.h"

namespace last {

// Bytes of the features that a run reads.
struct FeatureBytes {
  int64_t sets = 0;   // of all rows that every epoch reads, train and val
  int64_t batch = 0;  // of one batch
};

// One bank's share.
struct BankPlan {
  std::vector<Setting> settings;
  int64_t states = 0;  // parameters, gradients, two moments
  EnginePlan engine;
};

// The memory that training takes, known before any of it is allocated. On a GPU, networks, working
// memory and batches lie there, and the features where they don't take more than half of what is
// left; else they lie in the machine's memory, as everything does without a GPU.
struct MemoryPlan {
  std::vector<BankPlan> banks;
  bool for_retraining = false;             // states and scratch are what retraining takes
  int64_t limit = 0;                       // of the memory that the networks lie in
  int64_t states = 0;                      // of all banks
  int64_t scratch = 0;                     // working memory of the engines
  int64_t batches = 0;                     // the batch in use and those being read
  int64_t features = 0;                    // of all rows that every epoch reads
  Residence residence = Residence::kDisk;  // of the features

  int64_t without_features() const { return states + scratch + batches; }
};

// The most that retraining can come to, whatever a search chooses.
struct Retraining {
  // For each target and method its largest setting, as often as there are seeds, and the largest
  // members of an ensemble of each target.
  std::vector<Setting> networks;
  std::vector<Setting> shapes;  // one setting of every shape that the search trains
  int64_t most_shapes = 0;      // that can be chosen together
};

//   seeds: of each choice; members: of each target's ensemble
Retraining largest_retraining(const std::vector<Setting>& settings,
                              const std::vector<Target>& targets, const BackboneInfo& backbone,
                              int64_t seeds, int64_t members);

// Plans banks for all `settings`, or for `retrained` where there are none, and sets
// compute.max_scratch_bytes to what is left for engines.
//   retrained  what is trained later, when these networks are gone
//   memory     the limit (--memory); by default half of the free memory, or 80 % of the GPU's
// An Error where the networks don't fit into the memory there is; a warning where they do but take
// more than --memory.
MemoryPlan plan_memory(const std::vector<Setting>& settings, const Retraining& retrained,
                       const std::vector<Target>& targets, const BackboneInfo& backbone,
                       int64_t batch_size, const FeatureBytes& features,
                       std::optional<int64_t> memory, ComputeOptions& compute);

}  // namespace last
