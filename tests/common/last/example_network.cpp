#include "tests/common/last/example_network.h"

#include <ATen/ops/randn.h>

namespace last {

NetworkFile example_network(FinalNorm norm) {
  NetworkFile network;
  network.config.rank = 4;
  network.config.heads = 2;
  network.config.biases = true;
  network.config.modules = 2;
  network.config.norm = norm;
  auto& b = network.backbone;
  b.name = "tiny";
  b.depth = 2;
  b.dim = 16;
  b.tokens = 5;
  b.prefix_tokens = 1;
  b.has_cls_token = true;
  b.grid_height = b.grid_width = 2;
  b.layers = {0, 1, 2};
  b.norm_weight = at::randn({16});
  b.norm_bias = at::randn({16});
  network.parameters = make_parameters(1, network.config, b, 3);
  for (auto& [name, tensor] : network.parameters.named()) tensor.normal_();
  network.target = "shape";
  network.class_names = {"a", "b", "c"};
  network.features = {{"preprocessing", {{"resize", {64, 64}}}}};
  return network;
}

}  // namespace last
