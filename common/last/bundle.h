#pragma once

#include <string>
#include <vector>

#include "common/last/network_file.h"

namespace last {

// Networks that answer together: the prediction is the mean of the members' softmax probabilities.
// A member that is there twice counts twice. At least one; all of one backbone, trained on features
// made in the same way, for the same target and classes.
struct Bundle {
  std::vector<NetworkFile> members;
};

// A .safetensors file. Tensors of member j are those of a network file, named
// networks.{j}.NAME. Metadata: "format" = "last-ensemble-1" and one JSON text,
// "last" = {"networks": [what a network file says of itself, ..]}.
void save_bundle(const std::string& path, const Bundle& bundle);

// Reads a network file as well, as its only member. Damaged, foreign or inconsistent: an Error that
// names what is missing or what differs.
Bundle load_bundle(const std::string& path);

}  // namespace last
