#include "common/last/network_file.h"

#include <map>

#include "common/error.h"
#include "common/tensor_file/safetensors.h"

namespace last {
namespace {

constexpr char kFormat[] = "last-network-1";
constexpr char kProjections[3][6] = {"query", "key", "value"};

std::string module_name(int64_t module, int64_t modules_per_block) {
  return concat("blocks.", module / modules_per_block, ".modules.", module % modules_per_block,
                ".");
}

// Calls visit(name, tensor) with every tensor of the file as a view of the parameters, transposed
// where the file's layout is.
template <class Visit>
void visit_tensors(const NetworkFile& network, const Visit& visit) {
  const auto& p = network.parameters;
  const auto& config = network.config;
  const int64_t r = config.rank;
  for (int64_t m = 0; m < config.total_modules(network.backbone.depth); ++m) {
    const std::string prefix = module_name(m, config.modules);
    visit(prefix + "norm.weight", p.norm_weight[0][m]);
    visit(prefix + "norm.bias", p.norm_bias[0][m]);
    for (int64_t i = 0; i < 3; ++i) {
      const std::string name = prefix + kProjections[i];
      visit(name + ".weight", p.qkv_weight[0][m].narrow(1, i * r, r).t());
      if (config.biases) visit(name + ".bias", p.qkv_bias[0][m].narrow(0, i * r, r));
    }
    visit(prefix + "up.weight", p.up_weight[0][m].t());
    if (config.biases) visit(prefix + "up.bias", p.up_bias[0][m]);
  }
  if (config.norm == FinalNorm::kTrainable) {
    visit("norm.weight", p.final_norm_weight[0]);
    visit("norm.bias", p.final_norm_bias[0]);
  } else if (config.norm == FinalNorm::kFrozen) {
    visit("norm.weight", network.backbone.norm_weight);
    visit("norm.bias", network.backbone.norm_bias);
  }
  visit("head.weight", p.head_weight[0]);
  visit("head.bias", p.head_bias[0]);
}

nlohmann::json to_json(const BackboneInfo& b) {
  return {{"name", b.name},
          {"weights_sha256", b.weights_sha256},
          {"depth", b.depth},
          {"dim", b.dim},
          {"tokens", b.tokens},
          {"prefix_tokens", b.prefix_tokens},
          {"has_cls_token", b.has_cls_token},
          {"grid", {b.grid_height, b.grid_width}},
          {"layers", b.layers},
          {"norm_eps", b.norm_eps}};
}

BackboneInfo backbone_from_json(const nlohmann::json& json) {
  BackboneInfo b;
  b.name = json.at("name").get<std::string>();
  b.weights_sha256 = json.at("weights_sha256").get<std::string>();
  b.depth = json.at("depth").get<int64_t>();
  b.dim = json.at("dim").get<int64_t>();
  b.tokens = json.at("tokens").get<int64_t>();
  b.prefix_tokens = json.at("prefix_tokens").get<int64_t>();
  b.has_cls_token = json.at("has_cls_token").get<bool>();
  b.grid_height = json.at("grid").at(0).get<int64_t>();
  b.grid_width = json.at("grid").at(1).get<int64_t>();
  b.layers = json.at("layers").get<std::vector<int64_t>>();
  b.norm_eps = json.at("norm_eps").get<double>();
  return b;
}

// Sizes that tensors are made of are checked before anything is allocated.
void check_sizes(const std::string& path, const NetworkFile& network) {
  const auto& b = network.backbone;
  constexpr int64_t kLargest = 1 << 20;
  const auto inside = [](int64_t value) { return value >= 1 && value <= kLargest; };
  if (!inside(b.depth) || !inside(b.dim) || !inside(b.tokens) || b.prefix_tokens < 0 ||
      b.prefix_tokens >= b.tokens || !inside(network.config.modules)) {
    fail("\"", path, "\": the backbone's sizes make no sense");
  }
  check_network_config(network.config, b);
}

}  // namespace

void save_network(const std::string& path, const NetworkFile& network) {
  std::map<std::string, at::Tensor> tensors;
  visit_tensors(network, [&](const std::string& name, const at::Tensor& tensor) {
    tensors[name] = tensor.contiguous();
  });
  const nlohmann::json description = {{"network", to_json(network.config)},
                                      {"backbone", to_json(network.backbone)},
                                      {"classes", network.parameters.head_bias.size(1)},
                                      {"target", network.target},
                                      {"class_names", network.class_names},
                                      {"features", network.features},
                                      {"training", network.training}};
  write_safetensors(path, tensors, {{"format", kFormat}, {"last", description.dump()}});
}

NetworkFile load_network(const std::string& path) {
  const SafetensorsFile file(path);
  const auto& metadata = file.metadata();
  const auto format = metadata.find("format");
  if (format == metadata.end() || format->second != kFormat || metadata.count("last") == 0) {
    fail("\"", path, "\" is no side network (its metadata has no format = ", kFormat, ")");
  }
  NetworkFile network;
  int64_t classes = 0;
  try {
    const auto json = nlohmann::json::parse(metadata.at("last"));
    network.config = network_config_from_json(json.at("network"));
    network.backbone = backbone_from_json(json.at("backbone"));
    classes = json.at("classes").get<int64_t>();
    network.target = json.at("target").get<std::string>();
    network.class_names = json.at("class_names").get<std::vector<std::string>>();
    network.features = json.at("features");
    network.training = json.at("training");
  } catch (const nlohmann::json::exception& error) {
    fail("\"", path, "\" is a damaged side network: ", error.what());
  }
  check_sizes(path, network);
  const auto head_shape = file.shape("head.weight");
  if (head_shape != std::vector<int64_t>{classes, network.backbone.dim}) {
    fail("\"", path, "\": head.weight does not have ", classes, " x ", network.backbone.dim,
         " elements");
  }
  if (network.config.norm == FinalNorm::kFrozen) {
    network.backbone.norm_weight = at::Tensor(file.tensor("norm.weight").clone());
    network.backbone.norm_bias = at::Tensor(file.tensor("norm.bias").clone());
  }
  network.parameters = make_parameters(1, network.config, network.backbone, classes);
  visit_tensors(network, [&](const std::string& name, const at::Tensor& tensor) {
    const auto stored = file.tensor(name);
    const bool is_norm = name == "norm.weight" || name == "norm.bias";
    const auto expected = is_norm ? at::IntArrayRef(network.backbone.dim) : tensor.sizes();
    if (stored.sizes() != expected || stored.scalar_type() != at::kFloat) {
      fail("\"", path, "\": tensor ", name, " has the shape ", stored.sizes(), ", expected ",
           expected);
    }
    if (!is_norm || network.config.norm == FinalNorm::kTrainable) tensor.copy_(stored);
  });
  return network;
}

}  // namespace last
