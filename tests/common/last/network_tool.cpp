// network_tool NETWORK FEATURES.safetensors OUT.safetensors: what the trainer's engine says of the
// tensor "features" [B, maps, n, D], for tests/interop/test_export.py. OUT gets "logits.J" [B, C]
// for every network of the file (an ensemble has several).

#include <iostream>
#include <map>
#include <string>

#include "common/error.h"
#include "common/last/bundle.h"
#include "common/last/engines/engines.h"
#include "common/tensor_file/safetensors.h"

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: network_tool NETWORK FEATURES OUT\n";
    return 2;
  }
  try {
    const auto bundle = last::load_bundle(argv[1]);
    const auto features = last::SafetensorsFile(argv[2]).tensor("features");
    std::map<std::string, at::Tensor> logits;
    for (const auto& member : bundle.members) {
      const last::BankConfig config{
          member.backbone, member.config, {member.parameters.head_bias.size(1)}, {0}};
      const auto engine = last::make_engine(config, {});
      logits[last::concat("logits.", logits.size())] =
          engine->logits(features, {1}, member.parameters)[0].contiguous();
    }
    last::write_safetensors(argv[3], logits);
  } catch (const std::exception& error) {
    std::cerr << "network_tool: error: " << error.what() << "\n";
    return 1;
  }
}
