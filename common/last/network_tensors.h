#pragma once

#include <map>
#include <string>

#include <ATen/core/Tensor.h>
#include <nlohmann/json.hpp>

#include "common/last/network_file.h"
#include "common/tensor_file/tensor_source.h"

// One network's part of a file that holds one or several: tensors whose names begin with `prefix`,
// and a description in JSON.
namespace last {

nlohmann::json describe_network(const NetworkFile& network);
void add_network_tensors(const NetworkFile& network, const std::string& prefix,
                         std::map<std::string, at::Tensor>& tensors);

// What is missing or has the wrong shape is an Error that names it.
NetworkFile read_network(const TensorSource& file, const nlohmann::json& description,
                         const std::string& prefix);

}  // namespace last
