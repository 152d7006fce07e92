#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/backbone_info.h"
#include "common/last/config.h"
#include "common/last/parameters.h"

namespace last {

// One trained network with all that is needed to use it elsewhere.
struct NetworkFile {
  NetworkConfig config;
  BackboneInfo backbone;  // layers as counted in blocks; final norm included
  Parameters parameters;  // of one network: K = 1, C = its classes
  std::string target;
  std::vector<std::string> class_names;  // [C], or empty
  nlohmann::json features;  // how the features were made: preprocessing, precision, dtype
  nlohmann::json training;  // hyper-parameters and results, for the record
};

// A .safetensors file. Tensors, in PyTorch's Linear layout [out, in]:
//   blocks.{i}.modules.{t}.norm.{weight,bias} [D]; .{query,key,value}.weight [r, D], .bias [r];
//   .up.weight [D, r], .bias [D]; norm.{weight,bias} [D] (the final norm, unless norm = none);
//   head.weight [C, D], head.bias [C]
// Metadata: "format" = "last-network-1" and the rest as one JSON text, "last".
void save_network(const std::string& path, const NetworkFile& network);

// A damaged or foreign file is an Error that names what is missing or has the wrong shape.
NetworkFile load_network(const std::string& path);

}  // namespace last
