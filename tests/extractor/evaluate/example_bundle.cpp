#include "tests/extractor/evaluate/example_bundle.h"

#include <utility>

#include "tests/common/last/example_network.h"

namespace last {

NetworkFile random_network(const NetworkConfig& config, int64_t classes) {
  auto network = example_network(FinalNorm::kFrozen);
  network.config = config;
  network.parameters = make_parameters(1, config, network.backbone, classes);
  for (auto& [name, tensor] : network.parameters.named()) tensor.normal_(0, 0.3);
  network.class_names.clear();
  return network;
}

NamedBundle named(const std::string& name, std::vector<NetworkFile> members) {
  return {name, "folder/" + name + ".safetensors", {std::move(members)}};
}

NamedBundle classifier(int64_t classes, std::vector<std::string> class_names) {
  auto network = random_network({}, classes);
  network.class_names = std::move(class_names);
  return named("7", {network});
}

}  // namespace last
