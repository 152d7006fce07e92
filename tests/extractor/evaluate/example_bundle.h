#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "extractor/evaluate/networks.h"

namespace last {

// A small network of the shape that `config` asks for, beside the backbone of example_network(),
// with random parameters and classes "0", "1" and so on.
NetworkFile random_network(const NetworkConfig& config, int64_t classes);

// What load_networks() makes of NAME.safetensors.
NamedBundle named(const std::string& name, std::vector<NetworkFile> members);

// A network of the target "shape" with these classes (by number, where there are no names).
NamedBundle classifier(int64_t classes, std::vector<std::string> class_names);

}  // namespace last
