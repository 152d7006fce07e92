#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/backbone_info.h"
#include "extractor/backbone/resolve.h"
#include "extractor/backbone/vit.h"

namespace last {

// Mean and standard deviation per channel (of images in 0..1) that the model was trained with.
struct ImageStatistics {
  std::string source;  // "config.json", or a family
  bool is_stated;      // by a file beside the weights; else it is what the family usually has
  std::array<double, 3> mean;
  std::array<double, 3> std;
};

struct Backbone {
  Vit vit;
  NormWeights norm;  // fp32 on the CPU
  std::string weights_sha256;
  BackboneReport report;
  std::optional<ImageStatistics> image_statistics;  // nothing: neither files nor family tell
  // Height and width that the model was made for, as its position embeddings or else the files
  // beside the weights tell.
  std::optional<std::array<int64_t, 2>> own_image;

  // What the feature store has to know, for the given layers.
  BackboneInfo info(std::vector<int64_t> layers) const;
};

// Reads a checkpoint of any known family. Errors: not readable, not a known family, tensors
// missing, mis-shaped or unknown, something undecided (the option that decides it is named).
Backbone load_backbone(const BackboneOptions& options, c10::Device device,
                       c10::ScalarType precision);

// What was recognised, as `extractor model` prints it: {"path", "family", "prefix", "config",
// "decided": [{"what", "value", "source", "assumed", "option"}], "undecided": [{"what", "reason",
// "option"}], "ignored": [{"name", "reason"}], "notes"}. The tensors' numbers are not read. Only an
// undecided model is no Error here; all other defects are.
nlohmann::json describe_backbone(const BackboneOptions& options);

}  // namespace last
