#include "common/last/network_tensors.h"

#include <cstdint>

#include "common/error.h"
#include "common/io/json_integer.h"

namespace last {
namespace {

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
  b.depth = json_integer(json.at("depth"));
  b.dim = json_integer(json.at("dim"));
  b.tokens = json_integer(json.at("tokens"));
  b.prefix_tokens = json_integer(json.at("prefix_tokens"));
  b.has_cls_token = json.at("has_cls_token").get<bool>();
  b.grid_height = json_integer(json.at("grid").at(0));
  b.grid_width = json_integer(json.at("grid").at(1));
  b.layers = json_integers(json.at("layers"));
  b.norm_eps = json.at("norm_eps").get<double>();
  return b;
}

void check_shape(const TensorSource& file, const std::string& name, at::IntArrayRef expected) {
  const at::IntArrayRef found = file.shape(name);
  if (found != expected || file.dtype(name) != at::kFloat) {
    fail("\"", file.path(), "\": tensor ", name, " is ", file.dtype(name), " of shape ", found,
         ", expected Float of shape ", expected);
  }
}

// Sizes that tensors are made of are checked before anything is allocated: no larger than what the
// file holds.
void check_sizes(const TensorSource& file, const std::string& prefix, const NetworkFile& network,
                 int64_t classes) {
  const auto& b = network.backbone;
  const auto& config = network.config;
  constexpr int64_t kLargest = 1 << 20;
  const auto inside = [](int64_t value) { return value >= 1 && value <= kLargest; };
  if (!inside(b.depth) || !inside(b.dim) || !inside(b.tokens) || b.prefix_tokens < 0 ||
      b.prefix_tokens >= b.tokens || !inside(config.modules)) {
    fail("\"", file.path(), "\": the backbone's sizes make no sense");
  }
  try {
    check_network_config(config, b);
  } catch (const Error& error) {
    fail("\"", file.path(), "\": ", error.what());
  }
  for (int64_t m = 0; m < config.total_modules(b.depth); ++m) {
    check_shape(file, prefix + module_name(m, config.modules) + "query.weight",
                {config.rank, b.dim});
  }
  check_shape(file, prefix + "head.weight", {classes, b.dim});
  const auto names = static_cast<int64_t>(network.class_names.size());
  if (names != 0 && names != classes) {
    fail("\"", file.path(), "\": ", names, " class names for ", classes, " classes");
  }
}

}  // namespace

nlohmann::json describe_network(const NetworkFile& network) {
  return {{"network", to_json(network.config)},
          {"backbone", to_json(network.backbone)},
          {"classes", network.parameters.head_bias.size(1)},
          {"target", network.target},
          {"class_names", network.class_names},
          {"features", network.features},
          {"training", network.training}};
}

void add_network_tensors(const NetworkFile& network, const std::string& prefix,
                         std::map<std::string, at::Tensor>& tensors) {
  visit_tensors(network, [&](const std::string& name, const at::Tensor& tensor) {
    tensors[prefix + name] = tensor.contiguous();
  });
}

NetworkFile read_network(const TensorSource& file, const nlohmann::json& description,
                         const std::string& prefix) {
  NetworkFile network;
  int64_t classes = 0;
  try {
    network.config = network_config_from_json(description.at("network"));
    network.backbone = backbone_from_json(description.at("backbone"));
    classes = json_integer(description.at("classes"));
    network.target = description.at("target").get<std::string>();
    network.class_names = description.at("class_names").get<std::vector<std::string>>();
    network.features = description.at("features");
    network.training = description.at("training");
  } catch (const nlohmann::json::exception& error) {
    fail("\"", file.path(), "\" is a damaged side network: ", error.what());
  } catch (const Error& error) {
    fail("\"", file.path(), "\" is a damaged side network: ", error.what());
  }
  check_sizes(file, prefix, network, classes);
  auto& backbone = network.backbone;
  if (network.config.norm == FinalNorm::kFrozen) {
    for (const char* name : {"norm.weight", "norm.bias"}) {
      check_shape(file, prefix + name, {backbone.dim});
    }
    backbone.norm_weight = file.tensor(prefix + "norm.weight").clone();
    backbone.norm_bias = file.tensor(prefix + "norm.bias").clone();
  }
  network.parameters = make_parameters(1, network.config, backbone, classes);
  visit_tensors(network, [&](const std::string& name, const at::Tensor& tensor) {
    check_shape(file, prefix + name, tensor.sizes());
    tensor.copy_(file.tensor(prefix + name));
  });
  return network;
}

}  // namespace last
