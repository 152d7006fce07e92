// The reference engine against numbers that an independent PyTorch version computed in fp64
// (tests/interop/network_reference.py): logits, loss and all gradients, for every option.

#include <cstdlib>

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "common/last/engine.h"
#include "common/tensor_file/safetensors.h"

namespace last {
namespace {

constexpr double kTolerance = 1e-5;  // of the tensor's largest magnitude

std::string reference_path() {
  const char* given = std::getenv("LAST_NETWORK_REFERENCE");
  return given != nullptr ? given
                          : LAST_SOURCE_DIR "/tests/common/last/reference/network.safetensors";
}

double relative_difference(const at::Tensor& found, const at::Tensor& expected) {
  const double scale = at::abs(expected).max().item<double>();
  return at::abs(found - expected).max().item<double>() / (scale > 0 ? scale : 1);
}

class Case {
 public:
  Case(const SafetensorsFile& file, const std::string& name, const nlohmann::json& json)
      : file_(file), name_(name) {
    config_.network = network_config_from_json(json.at("config"));
    config_.classes = {json.at("classes").get<int64_t>()};
    config_.label_smoothing = {json.at("label_smoothing").get<double>()};
    auto& b = config_.backbone;
    b.depth = json.at("depth").get<int64_t>();
    b.dim = json.at("dim").get<int64_t>();
    b.tokens = json.at("tokens").get<int64_t>();
    b.prefix_tokens = json.at("prefix_tokens").get<int64_t>();
    b.has_cls_token = true;
    for (int64_t layer = 0; layer <= b.depth; ++layer) b.layers.push_back(layer);
    b.norm_weight = tensor("backbone_norm_weight");
    b.norm_bias = tensor("backbone_norm_bias");
    b.norm_eps = 1e-5;
  }

  const BankConfig& config() const { return config_; }
  at::Tensor tensor(const std::string& key) const { return file_.tensor(name_ + "/" + key); }

  Parameters parameters() const {
    auto p = make_parameters(1, config_.network, config_.backbone, config_.classes[0]);
    for (auto& [key, value] : p.named()) value.copy_(tensor("parameters." + key));
    return p;
  }

 private:
  const SafetensorsFile& file_;
  std::string name_;
  BankConfig config_;
};

TEST(PyTorchReference, LogitsLossAndGradientsOfEveryOption) {
  const SafetensorsFile file(reference_path());
  const auto cases = nlohmann::json::parse(file.metadata().at("cases"));
  ASSERT_GE(cases.size(), 20u);
  for (const auto& [name, json] : cases.items()) {
    SCOPED_TRACE(name);
    const Case reference(file, name, json);
    const auto engine = make_reference_engine(reference.config());
    const auto parameters = reference.parameters();
    const auto features = reference.tensor("features");

    const auto logits = engine->logits(features, {1}, parameters);
    EXPECT_LE(relative_difference(logits, reference.tensor("logits")), kTolerance);

    auto gradients = parameters.zeros_like();
    const auto result =
        engine->forward_backward(features, reference.tensor("labels"), {1}, parameters, gradients);
    EXPECT_NEAR(result.loss[0], reference.tensor("loss").item<double>(), 1e-5);
    for (const auto& [key, gradient] : gradients.named()) {
      EXPECT_LE(relative_difference(gradient, reference.tensor("gradients." + key)), kTolerance)
          << key;
    }
  }
}

}  // namespace
}  // namespace last
