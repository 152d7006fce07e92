#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <c10/core/Device.h>
#include <nlohmann/json.hpp>

#include "trainer/commands/run_options.h"
#include "trainer/data/batch_loader.h"
#include "trainer/data/dataset.h"
#include "trainer/data/targets.h"
#include "trainer/training/memory_plan.h"

namespace last {

// The data of a run: stores opened and checked, targets resolved, train and val split.
struct RunData {
  std::vector<Target> targets;
  Dataset train, val;          // with all views; val may be empty
  Dataset test;                // view 0; may be empty
  BackboneInfo backbone;       // its layers cut down to `maps`
  std::vector<int64_t> maps;   // indices into the stored layers that some network needs
  nlohmann::json features;     // how the features were made
  std::string split_csv;       // "path,part" of what --val-fraction has split, else empty
  nlohmann::json description;  // what config.json records, and what a resumed run must match

  bool has_val() const { return val.size() > 0; }
  bool has_test() const { return test.size() > 0; }
  std::vector<std::string> target_names() const;
};

// Prints the stores' warnings, and one for a class without training rows.
RunData open_run_data(const RunOptions& options);

// Of the maps that some network needs. `retrain`: train and val are trained on together later.
FeatureBytes feature_bytes(const RunData& data, int64_t batch_size, bool retrain);

// The data as sources of batches; val and test are null where there are none. Val is what networks
// are evaluated on: view 0 of its images.
//   residence  of features that are read at every epoch
//   device     where batches are needed
struct Sources {
  std::unique_ptr<FeatureSource> train, val, test;
};
Sources make_sources(const RunData& data, Residence residence, const c10::Device& device);

}  // namespace last
