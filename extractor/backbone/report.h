#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "extractor/backbone/state_dict.h"

namespace last {

// Something about a model that its tensors' shapes don't tell.
struct Decision {
  std::string what;      // "heads"
  nlohmann::json value;  // null: undecided
  std::string source;    // "config.json"; for what is undecided: why
  std::string option;    // the command line's, where there is one
  bool assumed = false;  // nothing but habit speaks for it
};

// What was recognised in a checkpoint, for `extractor model` and the store's configuration.
struct BackboneReport {
  std::string path;
  std::string family;
  std::string prefix;  // stripped from all names
  nlohmann::json config;
  std::vector<Decision> decisions;
  std::vector<IgnoredTensor> ignored;
  std::vector<std::string> notes;

  nlohmann::json to_json() const;
};

}  // namespace last
