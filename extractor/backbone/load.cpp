#include "extractor/backbone/load.h"

#include <memory>
#include <utility>

#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include "common/error.h"
#include "common/tensor_file/tensor_source.h"
#include "extractor/backbone/model_name.h"
#include "extractor/backbone/prepare.h"
#include "extractor/backbone/recognise.h"

namespace last {
namespace {

struct Resolved {
  CanonicalCheckpoint checkpoint;
  ResolvedModel model;
  BackboneReport report;
  std::optional<ImageStatistics> image_statistics;
  std::optional<std::array<int64_t, 2>> own_image;
};

bool is_family(const std::string& name) {
  for (const Family& family : families()) {
    if (name == family.name) return true;
  }
  return false;
}

// --model NAME: a family as it is; with a timm architecture's name the family is still recognised.
std::string wanted_family(const std::string& model, bool strict) {
  if (model == "auto" || is_family(model)) return model;
  if (is_timm_name(model)) {
    hints_of_timm_name(model);  // an Error where it is not supported
    if (strict) check_model_name(model);
    return "auto";
  }
  std::string names;
  for (const Family& family : families()) names += concat(", ", family.name);
  fail_usage("--model ", model, ": auto", names,
             " or a timm name like vit_base_patch16_224 expected");
}

// What the files beside the weights state, else what the family's published models have.
std::optional<ImageStatistics> find_statistics(const ArchitectureHints& sidecar,
                                               const ArchitectureHints& family) {
  if (sidecar.mean && sidecar.std) {
    return ImageStatistics{sidecar.source, true, *sidecar.mean, *sidecar.std};
  }
  if (family.mean && family.std) {
    return ImageStatistics{family.source, false, *family.mean, *family.std};
  }
  return std::nullopt;
}

void refuse_side_network(const TensorSource& source) {
  const auto format = source.metadata().find("format");
  if (format == source.metadata().end()) return;
  if (!format->second.starts_with("last-network-") && !format->second.starts_with("last-ensemble-"))
    return;
  fail("\"", source.path(), "\" is no checkpoint of a ViT: this is a side network: it goes to ",
       "--networks");
}

Resolved resolve(const std::shared_ptr<const TensorSource>& source,
                 const BackboneOptions& options) {
  Resolved resolved;
  resolved.report.path = source->path();
  refuse_side_network(*source);
  RecognisedCheckpoint recognised = recognise_checkpoint(
      read_state_dict(source), wanted_family(options.model, options.strict_model), source->path());
  resolved.report.family = recognised.family;
  resolved.report.prefix = recognised.prefix;
  resolved.report.ignored = recognised.checkpoint.ignored;
  resolved.report.notes = recognised.checkpoint.notes;
  const ArchitectureHints sidecar = read_sidecar_files(options.weights);
  resolved.model = resolve_model(recognised.checkpoint, options, sidecar, resolved.report);
  const bool about_another = sidecar.dim && *sidecar.dim != resolved.model.config.dim;
  resolved.image_statistics =
      find_statistics(about_another ? ArchitectureHints{} : sidecar, recognised.checkpoint.hints);
  if (!about_another && sidecar.mean.has_value() != sidecar.std.has_value()) {
    resolved.report.notes.push_back(
        concat("beside the weights stands a ", sidecar.mean ? "mean" : "std", " without a ",
               sidecar.mean ? "std" : "mean", ": it is not used (--mean, --std)"));
  }
  const ResolvedModel& model = resolved.model;
  if (model.config.has_pos_embed) {
    resolved.own_image =
        std::array<int64_t, 2>{model.positions.grid_height * model.stored_patch_height,
                               model.positions.grid_width * model.stored_patch_width};
  } else if (!about_another) {
    resolved.own_image = sidecar.image;
  }
  resolved.checkpoint = std::move(recognised.checkpoint);
  return resolved;
}

Decision statistics_decision(const std::optional<ImageStatistics>& statistics, bool mean) {
  const std::string what = mean ? "mean" : "std";
  if (!statistics) {
    return {what, std::array<double, 3>{0.5, 0.5, 0.5}, "nothing states it", "--" + what, true};
  }
  return {what, mean ? statistics->mean : statistics->std, statistics->source, "--" + what,
          !statistics->is_stated};
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
  const std::shared_ptr<const TensorSource> source = open_tensor_source(options.weights);
  Resolved resolved = resolve(source, options);
  for (const Decision& decision : resolved.report.decisions) {
    if (decision.value.is_null()) {
      fail("\"", source->path(), "\": the ", decision.what, " can't be told: ", decision.source,
           "; say it with ", decision.option);
    }
  }
  VitWeights weights =
      prepare_weights(resolved.checkpoint, resolved.model, source->path(), device, precision);
  NormWeights norm = std::move(weights.norm);
  if (!norm.defined()) {
    const int64_t dim = resolved.model.config.dim;
    norm = {at::ones({dim}, c10::ScalarType::Float), at::zeros({dim}, c10::ScalarType::Float)};
  }
  return {Vit(resolved.model.config, std::move(weights)),
          std::move(norm),
          source->sha256(),
          std::move(resolved.report),
          resolved.image_statistics,
          resolved.own_image};
}

nlohmann::json describe_backbone(const BackboneOptions& options) {
  const std::shared_ptr<const TensorSource> source = open_tensor_source(options.weights);
  Resolved resolved = resolve(source, options);
  check_weights(resolved.checkpoint, resolved.model, source->path());
  for (const bool mean : {true, false}) {
    resolved.report.decisions.push_back(statistics_decision(resolved.image_statistics, mean));
  }
  return resolved.report.to_json();
}

}  // namespace last
