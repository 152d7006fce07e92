#include "extractor/backbone/load.h"

#include <utility>

#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include "common/error.h"
#include "common/tensor_file/tensor_source.h"
#include "extractor/backbone/prepare.h"
#include "extractor/backbone/recognise.h"

namespace last {
namespace {

struct Prepared {
  ResolvedModel model;
  VitWeights weights;
  BackboneReport report;
  std::optional<ImageStatistics> image_statistics;
};

bool is_family(const std::string& name) {
  for (const Family& family : families()) {
    if (name == family.name) return true;
  }
  return false;
}

// --model NAME: a family as it is; with a timm architecture's name the family is still recognised.
std::string wanted_family(const std::string& model) {
  if (model == "auto" || is_family(model)) return model;
  if (model.starts_with("vit_") || model.starts_with("deit") || model.starts_with("flexivit_")) {
    return "auto";
  }
  std::string names;
  for (const Family& family : families()) names += concat(", ", family.name);
  fail_usage("--model ", model, ": auto", names,
             " or a timm name like vit_base_patch16_224 expected");
}

Prepared prepare(const TensorSource& source, const BackboneOptions& options) {
  Prepared prepared;
  prepared.report.path = source.path();
  RecognisedCheckpoint recognised =
      recognise_checkpoint(read_state_dict(source), wanted_family(options.model), source.path());
  prepared.report.family = recognised.family;
  prepared.report.prefix = recognised.prefix;
  prepared.report.ignored = recognised.checkpoint.ignored;
  const ArchitectureHints sidecar = read_sidecar_files(options.weights);
  if (sidecar.mean && sidecar.std) {
    prepared.image_statistics = {sidecar.source, *sidecar.mean, *sidecar.std};
  }
  prepared.model = resolve_model(recognised.checkpoint, options, sidecar, prepared.report);
  prepared.weights = prepare_weights(recognised.checkpoint, prepared.model, source.path());
  if (!prepared.weights.norm.defined()) {
    const int64_t dim = prepared.model.config.dim;
    prepared.weights.norm = {at::ones({dim}, c10::ScalarType::Float),
                             at::zeros({dim}, c10::ScalarType::Float)};
    prepared.report.notes.push_back(
        "the checkpoint has no final norm; one of weight 1 and bias 0 is recorded");
  }
  return prepared;
}

}  // namespace

BackboneInfo Backbone::info(std::vector<int64_t> layers) const {
  const VitConfig& config = vit.config();
  BackboneInfo info;
  info.name = config.name();
  info.weights_sha256 = weights_sha256;
  info.depth = config.depth;
  info.dim = config.dim;
  info.tokens = config.tokens();
  info.prefix_tokens = config.prefix_tokens;
  info.has_cls_token = config.has_cls_token;
  info.grid_height = config.grid_height();
  info.grid_width = config.grid_width();
  info.layers = std::move(layers);
  info.norm_weight = norm.weight;
  info.norm_bias = norm.bias;
  info.norm_eps = config.norm_eps;
  return info;
}

Backbone load_backbone(const BackboneOptions& options, c10::Device device,
                       c10::ScalarType precision) {
  const auto source = open_tensor_source(options.weights);
  Prepared prepared = prepare(*source, options);
  for (const Decision& decision : prepared.report.decisions) {
    if (decision.value.is_null()) {
      fail("\"", source->path(), "\": the ", decision.what, " can't be told: ", decision.source,
           "; say it with ", decision.option);
    }
  }
  return {Vit(prepared.model.config, prepared.weights, device, precision),
          NormWeights{prepared.weights.norm.weight.clone(), prepared.weights.norm.bias.clone()},
          source->sha256(), std::move(prepared.report), prepared.image_statistics};
}

nlohmann::json describe_backbone(const BackboneOptions& options) {
  const auto source = open_tensor_source(options.weights);
  const Prepared prepared = prepare(*source, options);
  nlohmann::json result = prepared.report.to_json();
  result["mean"] = nullptr;
  result["std"] = nullptr;
  if (prepared.image_statistics) {
    result["mean"] = prepared.image_statistics->mean;
    result["std"] = prepared.image_statistics->std;
  }
  return result;
}

}  // namespace last
