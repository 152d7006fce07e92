#include "extractor/backbone/resolve.h"

#include <array>
#include <cmath>
#include <optional>
#include <tuple>
#include <vector>

#include "common/error.h"
#include "common/tensor_file/safetensors_header.h"
#include "extractor/backbone/decisions.h"
#include "extractor/backbone/model_name.h"
#include "extractor/backbone/patch_resampling.h"
#include "extractor/backbone/prefix_tokens.h"

namespace last {
namespace {

// The tensor `name`, which has to have `dims` dimensions.
const NamedTensor& tensor_of(const CanonicalCheckpoint& checkpoint, const std::string& name,
                             int64_t dims, const std::string& path) {
  const auto found = checkpoint.tensors.find(name);
  if (found == checkpoint.tensors.end()) {
    fail("\"", path, "\": tensor ", quoted_name(name_in_file(checkpoint, name)), " is missing");
  }
  const NamedTensor& tensor = found->second;
  if (tensor.dim() != dims) {
    fail("\"", path, "\": tensor ", quoted_name(tensor.origin), ": ", dims,
         " dimensions expected, found shape ", at::IntArrayRef(tensor.shape));
  }
  return tensor;
}

// A name that no model has is reported first: it may stand for one that seems to be missing.
void check_names(const CanonicalCheckpoint& checkpoint, const std::string& path) {
  for (const auto& [name, entry] : checkpoint.tensors) {
    if (is_canonical_name(name)) continue;
    std::vector<std::string> missing, known = canonical_names(count_blocks(checkpoint.tensors));
    for (const std::string& candidate : known) {
      if (checkpoint.tensors.count(candidate) == 0) missing.push_back(candidate);
    }
    std::string nearest = nearest_name(name, missing);
    if (nearest.empty()) nearest = nearest_name(name, known);
    fail("\"", path, "\": tensor ", quoted_name(entry.origin), " ", at::IntArrayRef(entry.shape),
         " has no place in the ViTs that this program knows; leaving it out could change the "
         "features",
         nearest.empty()
             ? ""
             : "; the nearest known name is " + quoted_name(name_in_file(checkpoint, nearest)));
  }
}

int64_t square_root(int64_t number) {
  const auto root = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(number))));
  return root > 0 && root * root == number ? root : 0;
}

// Rows of pos_embed = patches of the original grid, with or without those of `prefix` tokens. The
// original grid is the sidecar's, else a square, else the requested one.
PositionLayout layout_positions(const CanonicalCheckpoint& checkpoint, const ResolvedModel& model,
                                const std::optional<std::array<int64_t, 2>>& original,
                                const std::string& path) {
  const int64_t rows = tensor_of(checkpoint, "pos_embed", 3, path).shape[1];
  const int64_t prefix = checkpoint.prefix_lacks_positions ? 0 : model.config.prefix_tokens;
  const VitConfig& config = model.config;
  const int64_t patch_height = model.stored_patch_height, patch_width = model.stored_patch_width;
  const auto fits = [&](int64_t height, int64_t width) -> std::optional<PositionLayout> {
    const int64_t patches = (height / patch_height) * (width / patch_width);
    if (patches <= 0 || (rows != patches + prefix && rows != patches)) return std::nullopt;
    return PositionLayout{rows - patches, height / patch_height, width / patch_width};
  };
  if (original) {
    if (const auto layout = fits((*original)[0], (*original)[1])) return *layout;
  }
  const int64_t with_prefix = square_root(rows - prefix);
  const int64_t without = square_root(rows);
  const auto requested = fits(config.image_height, config.image_width);
  // Squares of both kinds: only toy models.
  if (requested && with_prefix != 0 && without != 0) return *requested;
  if (with_prefix != 0) return {prefix, with_prefix, with_prefix};
  if (without != 0) return {0, without, without};
  if (requested) return *requested;
  const std::string place = concat(
      "\"", path, "\": tensor ", quoted_name(name_in_file(checkpoint, "pos_embed")), " has ", rows,
      " rows: no square grid of patches, with or without the file's ", prefix, " prefix tokens");
  const std::string lacking = tokens_that_explain(checkpoint, rows);
  fail(place, "; ", lacking.empty() ? "" : concat(lacking, " is missing, or else "),
       "name the image size that the model was trained with (--resize)");
}

void read_shapes(ResolvedModel& model, const CanonicalCheckpoint& checkpoint,
                 const std::string& path) {
  VitConfig& config = model.config;
  const NamedTensor& patch = tensor_of(checkpoint, "patch_embed.proj.weight", 4, path);
  config.dim = patch.shape[0];
  model.stored_patch_height = patch.shape[2];
  model.stored_patch_width = patch.shape[3];
  for (const int64_t size : patch.shape) {
    if (size == 0) fail("\"", path, "\": the patch embedding is empty");
  }
  config.depth = count_blocks(checkpoint.tensors);
  if (config.depth == 0) fail("\"", path, "\" has no blocks");
  config.mlp_hidden = tensor_of(checkpoint, "blocks.0.mlp.fc2.weight", 2, path).shape[1];
  const int64_t fc1 = tensor_of(checkpoint, "blocks.0.mlp.fc1.weight", 2, path).shape[0];
  config.mlp = fc1 == 2 * config.mlp_hidden ? Mlp::kGated : Mlp::kPlain;
  config.has_cls_token = checkpoint.tensors.count("cls_token") != 0;
  for (const char* name : {"cls_token", "dist_token", "reg_token"}) {
    config.prefix_tokens += count_tokens(checkpoint, name);
  }
}

void set_patch_size(ResolvedModel& model, const std::string& asked, BackboneReport& report) {
  VitConfig& config = model.config;
  config.patch_height = model.stored_patch_height;
  config.patch_width = model.stored_patch_width;
  if (asked == "auto") return;
  std::tie(config.patch_height, config.patch_width) = parse_patch_size(asked);
  if (config.patch_height == model.stored_patch_height &&
      config.patch_width == model.stored_patch_width) {
    return;
  }
  config.patch_resampled = true;
  report.notes.push_back(concat("the patch embedding is resampled from ", model.stored_patch_width,
                                "x", model.stored_patch_height, " to ", config.patch_width, "x",
                                config.patch_height, " pixels (--patch-size)"));
}

// Without position embeddings a model has no size of its own.
void set_image_size(ResolvedModel& model, const BackboneOptions& options,
                    const ArchitectureHints& sidecar) {
  constexpr int64_t kUsual = 224;
  VitConfig& config = model.config;
  config.image_height = options.image_height;
  config.image_width = options.image_width;
  if (config.image_height == 0 && config.image_width == 0) {
    if (config.has_pos_embed) {
      config.image_height = model.positions.grid_height * config.patch_height;
      config.image_width = model.positions.grid_width * config.patch_width;
    } else {
      const std::array<int64_t, 2> usual{kUsual / config.patch_height * config.patch_height,
                                         kUsual / config.patch_width * config.patch_width};
      config.image_height = sidecar.image.value_or(usual)[0];
      config.image_width = sidecar.image.value_or(usual)[1];
    }
  }
  if (config.image_height <= 0 || config.image_height % config.patch_height != 0 ||
      config.image_width <= 0 || config.image_width % config.patch_width != 0) {
    fail_usage("an image of ", config.image_width, "x", config.image_height,
               " is not a whole number of patches of ", config.patch_width, "x",
               config.patch_height, " (--resize)");
  }
}

// [prefix, height, width]: the same weights give other maps where a file beside them tells another
// original grid.
nlohmann::json to_json(const PositionLayout& layout, bool has_pos_embed) {
  if (!has_pos_embed) return nullptr;
  return {layout.prefix, layout.grid_height, layout.grid_width};
}

}  // namespace

ResolvedModel resolve_model(const CanonicalCheckpoint& checkpoint, const BackboneOptions& options,
                            ArchitectureHints sidecar, BackboneReport& report) {
  ResolvedModel model;
  VitConfig& config = model.config;
  check_names(checkpoint, report.path);
  read_shapes(model, checkpoint, report.path);
  if (options.strict_model && is_timm_name(options.model)) {
    check_model_size(options.model, config.dim, config.depth);
  }
  if (sidecar.dim && *sidecar.dim != config.dim) {
    report.notes.push_back(concat(sidecar.source, " is not used: it is about a model of ",
                                  *sidecar.dim, " channels, this one has ", config.dim));
    sidecar = {};
  }
  if (sidecar.depth && *sidecar.depth != config.depth) {
    fail("\"", report.path, "\" has ", config.depth, " blocks, ", sidecar.source, " speaks of ",
         *sidecar.depth, *sidecar.depth > config.depth ? ": some are missing" : "",
         "; both have to be about the same model");
  }
  ArchitectureHints named;
  if (is_timm_name(options.model)) named = hints_of_timm_name(options.model);
  const TokenSources sources{named, sidecar, checkpoint.hints};
  require_stated_tokens(checkpoint, sources, report.path);
  set_patch_size(model, options.patch_size, report);
  config.image_height = options.image_height;
  config.image_width = options.image_width;
  // Only with a rotary embedding can a model do without.
  config.has_pos_embed = checkpoint.tensors.count("pos_embed") != 0 || !checkpoint.hints.rope;
  if (config.has_pos_embed) {
    model.positions = layout_positions(checkpoint, model, sidecar.image, report.path);
  }
  set_image_size(model, options, sidecar);
  decide_functions(config, options, sidecar, checkpoint.hints, report);
  const bool resampled =
      config.has_pos_embed && (config.grid_height() != model.positions.grid_height ||
                               config.grid_width() != model.positions.grid_width);
  for (Decision& decision : report.decisions) {
    if (decision.what == "pos_embed" && !resampled) decision.assumed = false;  // it changes nothing
  }
  if (resampled) {
    report.notes.push_back(
        concat("position embeddings are resampled from ", model.positions.grid_width, "x",
               model.positions.grid_height, " to ", config.grid_width(), "x", config.grid_height(),
               " patches, as ", to_string(config.pos_embed), " does it (--pos-embed)"));
  }
  note_uncounted_tokens(checkpoint, model, sources, report);
  if (!has_norm(checkpoint.tensors, "norm") && !has_norm(checkpoint.tensors, "fc_norm")) {
    report.notes.push_back(
        "the checkpoint has no final norm; one of weight 1 and bias 0 is recorded");
  }
  report.config = to_json(config);
  report.config["positions"] = to_json(model.positions, config.has_pos_embed);
  return model;
}

}  // namespace last
