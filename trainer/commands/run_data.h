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
  Dataset train, val, test;    // val and test may be empty
  BackboneInfo backbone;       // its layers cut down to `maps`
  std::vector<int64_t> maps;   // indices into the stored layers that some network needs
  nlohmann::json features;     // how the features were made
  nlohmann::json description;  // what config.json records, and what a resumed run must match

  bool has_val() const { return val.size() > 0; }
  bool has_test() const { return test.size() > 0; }
  std::vector<std::string> target_names() const;
};

// Prints the stores' warnings, and one for a class without training rows.
RunData open_run_data(const RunOptions& options);

// Of the maps that some network needs.
FeatureBytes feature_bytes(const RunData& data, int64_t batch_size);

// The data as sources of batches; val and test are null where there are none.
//   resident  whether features that are read at every epoch are held in memory
//   device    where batches will be copied
struct Sources {
  std::unique_ptr<FeatureSource> train, val, test;
};
Sources make_sources(const RunData& data, bool resident, const c10::Device& device);

}  // namespace last
