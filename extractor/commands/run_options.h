#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/cli/task_array.h"
#include "extractor/commands/image_options.h"

namespace last {

// Options of `extractor run`, checked as far as that goes without files.
struct ExtractorRunOptions {
  ModelOptions model;
  ImageOptions images;
  DeviceOptions device;
  std::string cache;
  std::string layers = "all";
  c10::ScalarType store = c10::ScalarType::Half;
  Preprocessing preprocessing;  // mean and std are settled with the weights
  bool resize_is_given = false;
  Views views;
  TaskPart shard;
  int64_t allow_bad = 0;
  std::optional<double> time_limit;  // seconds
  std::string reuse;                 // an earlier store; empty: none
  bool thumbnails = false;
  bool dry_run = false;
};

// Nothing where --help was asked for.
std::optional<ExtractorRunOptions> parse_extractor_run_options(
    const std::vector<std::string>& arguments);

}  // namespace last
