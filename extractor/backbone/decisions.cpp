#include "extractor/backbone/decisions.h"

#include <array>
#include <functional>
#include <optional>
#include <utility>

#include "common/error.h"

namespace last {
namespace {

class Decider {
 public:
  // `sources`: the first that knows something decides it
  Decider(std::array<ArchitectureHints, 5> sources, BackboneReport& report)
      : sources_(std::move(sources)), report_(report) {}

  // Nothing where nobody knows, which is reported as undecided for the reason.
  template <class T>
  std::optional<T> decide(const std::string& what, const std::string& option,
                          std::optional<T> ArchitectureHints::*member,
                          const std::function<nlohmann::json(const T&)>& to_value,
                          const std::string& reason) {
    for (const ArchitectureHints& source : sources_) {
      if (const auto unknown = source.unknown.find(what); unknown != source.unknown.end()) {
        report_.decisions.push_back(
            {what, nullptr,
             concat(source.source, " says ", unknown->second, ", which this program doesn't know"),
             option});
        return std::nullopt;
      }
      const std::optional<T>& value = source.*member;
      if (!value) continue;
      const bool asked = source.source == kCommandLine;
      report_.decisions.push_back({what, to_value(*value), asked ? option : source.source, option,
                                   source.assumed.count(what) != 0});
      return value;
    }
    report_.decisions.push_back({what, nullptr, reason, option});
    return std::nullopt;
  }

  static constexpr const char* kCommandLine = "the command line";

 private:
  std::array<ArchitectureHints, 5> sources_;
  BackboneReport& report_;
};

ArchitectureHints hints_of_options(const BackboneOptions& options, const VitConfig& config) {
  ArchitectureHints hints;
  hints.source = Decider::kCommandLine;
  if (options.heads != 0) hints.heads = options.heads;
  if (options.activation != "auto") {
    hints.activation = parse_activation(options.activation);
    if (config.mlp == Mlp::kGated) fail_usage("--activation: this model's gated MLP has SiLU");
  }
  if (options.norm_eps != 0) hints.norm_eps = options.norm_eps;
  if (options.pos_embed != "auto") {
    hints.pos_embed = parse_pos_embed_mode(options.pos_embed);
    if (!config.has_pos_embed) fail_usage("--pos-embed: this model has no position embedding");
  }
  return hints;
}

// Of gated MLPs: not for the command line, since all have SiLU but those whose config.json says
// otherwise.
void decide_gate(VitConfig& config, const ArchitectureHints& sidecar, BackboneReport& report) {
  config.activation = Activation::kSilu;
  std::string source = "models with a gated MLP (SwiGLU)";
  if (sidecar.states_gate) {
    if (const auto unknown = sidecar.unknown.find("activation"); unknown != sidecar.unknown.end()) {
      fail("\"", report.path, "\": ", sidecar.source, " says ", unknown->second,
           " of a gated MLP, which this program doesn't know");
    }
    if (sidecar.activation) {
      config.activation = *sidecar.activation;
      source = sidecar.source;
    }
  }
  report.decisions.push_back({"activation", to_string(config.activation), source, ""});
}

// Only of a patch embedding that is resampled.
void decide_patch_resampling(VitConfig& config, const std::array<ArchitectureHints, 3>& sources,
                             BackboneReport& report) {
  Decision decision{"patch_resampling", nullptr, "timm, for models that are not known as FlexiViT",
                    "--model", /*assumed=*/true};
  for (const ArchitectureHints& source : sources) {
    if (!source.patch_resampling) continue;
    config.patch_resampling = *source.patch_resampling;
    decision.source = source.source;
    decision.assumed = source.assumed.count("patch_resampling") != 0;
    break;
  }
  decision.value = to_string(config.patch_resampling);
  report.decisions.push_back(std::move(decision));
}

std::string text_of(NormPlace place) { return place == NormPlace::kBefore ? "before" : "after"; }

}  // namespace

void decide_functions(VitConfig& config, const BackboneOptions& options,
                      const ArchitectureHints& sidecar, const ArchitectureHints& family,
                      BackboneReport& report) {
  ArchitectureHints named;
  if (is_timm_name(options.model)) named = hints_of_timm_name(options.model);
  ArchitectureHints published;
  published.source = "published models of this size";
  published.heads = known_heads(config.dim, config.depth, config.mlp == Mlp::kGated);
  Decider decider({hints_of_options(options, config), named, sidecar, family, published}, report);

  const auto heads = decider.decide<int64_t>(
      "heads", "--heads", &ArchitectureHints::heads, [](int64_t value) { return value; },
      concat("no published model has ", config.depth, " blocks of ", config.dim,
             " channels, and no config.json tells"));
  if (heads) {
    if (*heads < 1 || config.dim % *heads != 0) {
      fail_usage(*heads, " attention heads (", report.decisions.back().source,
                 ") don't divide the model's ", config.dim, " channels");
    }
    config.heads = *heads;
    if (report.decisions.back().source == published.source) {
      // MoCo v3's ViT-S has 12 where all others of its size have 6.
      report.notes.push_back(
          concat(*heads,
                 " attention heads are those of the published models of this size; nothing in or "
                 "beside the weights states them (--heads)"));
    }
  }
  if (config.mlp == Mlp::kGated) {
    decide_gate(config, sidecar, report);
  } else {
    const auto activation = decider.decide<Activation>(
        "activation", "--activation", &ArchitectureHints::activation,
        [](Activation value) { return to_string(value); },
        "models with these tensors have gelu or quick-gelu (OpenAI's CLIP and what follows it), "
        "and no file beside the weights tells which");
    if (activation) config.activation = *activation;
  }
  const auto eps = decider.decide<double>(
      "norm_eps", "--norm-eps", &ArchitectureHints::norm_eps, [](double value) { return value; },
      "the weights don't tell");
  if (eps) config.norm_eps = *eps;
  // The two below are only worth a line where something else than the usual is decided.
  for (const ArchitectureHints& source : {named, sidecar, family}) {
    if (!source.norm_place) continue;
    config.norm_place = *source.norm_place;
    if (config.norm_place != NormPlace::kBefore) {
      report.decisions.push_back(
          {"norm_place", text_of(config.norm_place), source.source, "--model"});
    }
    break;
  }
  for (const ArchitectureHints& source : {sidecar, family}) {
    if (!source.rope) continue;
    config.rope = *source.rope;
    if (config.rope.kind != RopeKind::kNone) {
      report.decisions.push_back({"rope", to_json(config.rope), source.source, ""});
    }
    break;
  }
  if (config.patch_resampled) decide_patch_resampling(config, {named, sidecar, family}, report);
  if (config.has_pos_embed) {
    const auto mode = decider.decide<PosEmbedMode>(
        "pos_embed", "--pos-embed", &ArchitectureHints::pos_embed,
        [](PosEmbedMode value) { return to_string(value); }, "the weights don't tell");
    if (mode) config.pos_embed = *mode;
  }
}

}  // namespace last
