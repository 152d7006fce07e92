#include "extractor/backbone/resolve.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include "common/error.h"

namespace last {
namespace {

template <class T>
struct Candidate {
  std::optional<T> value;
  std::string source;
};

template <class T>
std::optional<Candidate<T>> first_known(const std::vector<Candidate<T>>& candidates) {
  for (const Candidate<T>& candidate : candidates) {
    if (candidate.value) return candidate;
  }
  return std::nullopt;
}

const at::Tensor& tensor_of(const CanonicalCheckpoint& checkpoint, const std::string& name,
                            int64_t dims, const std::string& path) {
  const auto found = checkpoint.tensors.find(name);
  if (found == checkpoint.tensors.end()) fail("\"", path, "\": tensor ", name, " is missing");
  const auto& [tensor, origin] = found->second;
  if (tensor.dim() != dims) {
    fail("\"", path, "\": tensor ", origin, ": ", dims, " dimensions expected, found shape ",
         tensor.sizes());
  }
  return tensor;
}

int64_t rows_of(const CanonicalCheckpoint& checkpoint, const std::string& name) {
  const auto found = checkpoint.tensors.find(name);
  if (found == checkpoint.tensors.end() || found->second.tensor.dim() != 3) return 0;
  return found->second.tensor.size(1);
}

// 1 + the largest i of blocks.{i}.*
int64_t count_blocks(const StateDict& tensors) {
  constexpr std::string_view kPrefix = "blocks.";
  int64_t depth = 0;
  for (const auto& [name, entry] : tensors) {
    if (!name.starts_with(kPrefix)) continue;
    int64_t index = 0;
    const char* begin = name.data() + kPrefix.size();
    const auto parsed = std::from_chars(begin, name.data() + name.size(), index);
    // More blocks than any ViT has are no index but a name that nobody knows.
    if (parsed.ec == std::errc() && index >= 0 && index < 1000) depth = std::max(depth, index + 1);
  }
  return depth;
}

int64_t square_root(int64_t number) {
  const auto root = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(number))));
  return root > 0 && root * root == number ? root : 0;
}

// Rows of pos_embed = patches of the original grid, with or without those of the prefix tokens. The
// original grid is the sidecar's, else a square, else the requested one.
PositionLayout layout_positions(int64_t rows, int64_t prefix, const VitConfig& config,
                                const std::optional<std::array<int64_t, 2>>& original,
                                const std::string& path) {
  const auto fits = [&](int64_t height, int64_t width) -> std::optional<PositionLayout> {
    const int64_t patches = (height / config.patch_height) * (width / config.patch_width);
    if (patches <= 0 || (rows != patches + prefix && rows != patches)) return std::nullopt;
    return PositionLayout{rows - patches, height / config.patch_height, width / config.patch_width};
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
  fail("\"", path, "\": pos_embed has ", rows, " rows: no square grid of patches, with or without ",
       prefix, " prefix tokens; name the image size that the model was trained with (--resize)");
}

void decide_heads(VitConfig& config, const BackboneOptions& options,
                  const ArchitectureHints& sidecar, const ArchitectureHints& family,
                  BackboneReport& report) {
  std::optional<int64_t> asked;
  if (options.heads != 0) asked = options.heads;
  const auto known = known_heads(config.dim, config.depth, config.mlp == Mlp::kGated);
  const auto found = first_known<int64_t>({{asked, "--heads"},
                                           {sidecar.heads, sidecar.source},
                                           {family.heads, "the family"},
                                           {known, "published models of this size"}});
  if (!found) {
    report.decisions.push_back({"heads", nullptr,
                                concat("no published model has ", config.depth, " blocks of ",
                                       config.dim, " channels, and no config.json tells"),
                                "--heads"});
    return;
  }
  config.heads = *found->value;
  if (config.heads < 1 || config.dim % config.heads != 0) {
    fail_usage(config.heads, " attention heads (", found->source, ") don't divide the model's ",
               config.dim, " channels");
  }
  report.decisions.push_back({"heads", config.heads, found->source, "--heads"});
}

void decide_functions(VitConfig& config, const BackboneOptions& options,
                      const ArchitectureHints& named, const ArchitectureHints& sidecar,
                      const ArchitectureHints& family, BackboneReport& report) {
  std::optional<Activation> asked_activation;
  if (options.activation != "auto") asked_activation = parse_activation(options.activation);
  if (config.mlp == Mlp::kGated) {
    if (asked_activation) fail_usage("--activation: this model's gated MLP has SiLU");
    config.activation = Activation::kSilu;
  } else {
    const auto found = first_known<Activation>({{asked_activation, "--activation"},
                                                {named.activation, named.source},
                                                {sidecar.activation, sidecar.source},
                                                {family.activation, "the family"}});
    if (found) config.activation = *found->value;
    report.decisions.push_back({"activation", to_string(config.activation),
                                found ? found->source : "the weights don't tell", "--activation",
                                !found});
  }
  const auto eps = first_known<double>({{named.norm_eps, named.source},
                                        {sidecar.norm_eps, sidecar.source},
                                        {family.norm_eps, "the family"}});
  if (eps) config.norm_eps = *eps->value;
  report.decisions.push_back(
      {"norm_eps", config.norm_eps, eps ? eps->source : "the weights don't tell", "--model", !eps});
}

void decide_positions(ResolvedModel& model, const BackboneOptions& options,
                      const ArchitectureHints& named, const ArchitectureHints& family,
                      BackboneReport& report) {
  std::optional<PosEmbedMode> asked;
  if (options.pos_embed != "auto") asked = parse_pos_embed_mode(options.pos_embed);
  const auto found = first_known<PosEmbedMode>(
      {{asked, "--pos-embed"}, {named.pos_embed, named.source}, {family.pos_embed, "the family"}});
  if (found) model.config.pos_embed = *found->value;
  report.decisions.push_back({"pos_embed", to_string(model.config.pos_embed),
                              found ? found->source : "the weights don't tell", "--pos-embed",
                              !found});
  const VitConfig& config = model.config;
  if (config.grid_height() != model.positions.grid_height ||
      config.grid_width() != model.positions.grid_width) {
    report.notes.push_back(concat("position embeddings are resampled from ",
                                  model.positions.grid_width, "x", model.positions.grid_height,
                                  " to ", config.grid_width(), "x", config.grid_height(),
                                  " patches"));
  }
}

void read_shapes(VitConfig& config, const CanonicalCheckpoint& checkpoint,
                 const std::string& path) {
  const at::Tensor& patch = tensor_of(checkpoint, "patch_embed.proj.weight", 4, path);
  config.dim = patch.size(0);
  config.patch_height = patch.size(2);
  config.patch_width = patch.size(3);
  if (patch.numel() == 0) fail("\"", path, "\": the patch embedding is empty");
  config.depth = count_blocks(checkpoint.tensors);
  if (config.depth == 0) fail("\"", path, "\" has no blocks");
  config.mlp_hidden = tensor_of(checkpoint, "blocks.0.mlp.fc2.weight", 2, path).size(1);
  const int64_t fc1 = tensor_of(checkpoint, "blocks.0.mlp.fc1.weight", 2, path).size(0);
  config.mlp = fc1 == 2 * config.mlp_hidden ? Mlp::kGated : Mlp::kPlain;
  config.has_cls_token = checkpoint.tensors.count("cls_token") != 0;
  for (const char* name : {"cls_token", "dist_token", "reg_token"}) {
    config.prefix_tokens += rows_of(checkpoint, name);
  }
}

}  // namespace

ResolvedModel resolve_model(const CanonicalCheckpoint& checkpoint, const BackboneOptions& options,
                            ArchitectureHints sidecar, BackboneReport& report) {
  ResolvedModel model;
  VitConfig& config = model.config;
  read_shapes(config, checkpoint, report.path);
  if (sidecar.dim && *sidecar.dim != config.dim) {
    report.notes.push_back(concat(sidecar.source, " is not used: it is about a model of ",
                                  *sidecar.dim, " channels, this one has ", config.dim));
    sidecar = {};
  }
  ArchitectureHints named;
  if (options.model.find('_') != std::string::npos) named = hints_of_timm_name(options.model);

  config.image_height = options.image_height;
  config.image_width = options.image_width;
  const int64_t rows = tensor_of(checkpoint, "pos_embed", 3, report.path).size(1);
  model.positions =
      layout_positions(rows, config.prefix_tokens, config, sidecar.image, report.path);
  if (config.image_height == 0 && config.image_width == 0) {
    config.image_height = model.positions.grid_height * config.patch_height;
    config.image_width = model.positions.grid_width * config.patch_width;
  }
  if (config.image_height <= 0 || config.image_height % config.patch_height != 0 ||
      config.image_width <= 0 || config.image_width % config.patch_width != 0) {
    fail_usage("an image of ", config.image_width, "x", config.image_height,
               " is not a whole number of patches of ", config.patch_width, "x",
               config.patch_height, " (--resize)");
  }
  decide_heads(config, options, sidecar, checkpoint.hints, report);
  decide_functions(config, options, named, sidecar, checkpoint.hints, report);
  decide_positions(model, options, named, checkpoint.hints, report);
  report.config = to_json(config);
  return model;
}

}  // namespace last
