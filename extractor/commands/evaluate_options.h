#pragma once

#include <optional>
#include <string>
#include <vector>

#include "extractor/commands/image_options.h"

namespace last {

// Options of `extractor evaluate`, checked as far as that goes without files.
struct EvaluateOptions {
  ModelOptions model;
  ImageOptions images;
  DeviceOptions device;
  std::vector<std::string> networks;  // files and run directories
  std::string out;
  int64_t top_k = 5;
  int64_t allow_bad = 0;
};

// Nothing where --help was asked for.
std::optional<EvaluateOptions> parse_evaluate_options(const std::vector<std::string>& arguments);

}  // namespace last
