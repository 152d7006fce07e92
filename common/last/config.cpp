#include "common/last/config.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/error.h"
#include "common/io/json_integer.h"

namespace last {
namespace {

template <class Value, size_t N>
using Names = std::array<std::pair<Value, const char*>, N>;

constexpr Names<Method, 2> kMethods{{{Method::kLast, "last"}, {Method::kLinear, "linear"}}};
constexpr Names<Variant, 3> kVariants{{{Variant::kD, "d"}, {Variant::kB, "b"}, {Variant::kC, "c"}}};
constexpr Names<Pool, 3> kPools{
    {{Pool::kMeanPatch, "mean-patch"}, {Pool::kCls, "cls"}, {Pool::kMeanAll, "mean-all"}}};
constexpr Names<FinalNorm, 3> kFinalNorms{{{FinalNorm::kFrozen, "frozen"},
                                           {FinalNorm::kTrainable, "trainable"},
                                           {FinalNorm::kNone, "none"}}};

template <class Value, size_t N>
std::string name_of(const Names<Value, N>& names, Value value) {
  const auto* found =
      std::find_if(names.begin(), names.end(), [&](const auto& n) { return n.first == value; });
  return found == names.end() ? "?" : found->second;
}

template <class Value, size_t N>
Value parse(const Names<Value, N>& names, const char* what, const std::string& text) {
  std::string known;
  for (const auto& [value, name] : names) {
    if (text == name) return value;
    known += known.empty() ? name : std::string(" | ") + name;
  }
  fail_usage("unknown ", what, " \"", text, "\" (expected ", known, ")");
}

// The gaps whose maps are all stored, as "1, 2, 4".
std::string possible_gaps(const BackboneInfo& backbone) {
  std::string text;
  for (int64_t gap = 1; gap <= backbone.depth; ++gap) {
    if (backbone.depth % gap != 0) continue;
    bool stored = true;
    for (int64_t layer = 0; layer <= backbone.depth; layer += gap) {
      stored &= std::binary_search(backbone.layers.begin(), backbone.layers.end(), layer);
    }
    if (stored) text += concat(text.empty() ? "" : ", ", gap);
  }
  return text.empty() ? "none" : text;
}

int64_t map_index(const BackboneInfo& backbone, int64_t layer) {
  const auto found = std::lower_bound(backbone.layers.begin(), backbone.layers.end(), layer);
  if (found == backbone.layers.end() || *found != layer) return -1;
  return found - backbone.layers.begin();
}

}  // namespace

std::string to_string(Method value) { return name_of(kMethods, value); }
std::string to_string(Variant value) { return name_of(kVariants, value); }
std::string to_string(Pool value) { return name_of(kPools, value); }
std::string to_string(FinalNorm value) { return name_of(kFinalNorms, value); }

Method parse_method(const std::string& name) { return parse(kMethods, "method", name); }
Variant parse_variant(const std::string& name) { return parse(kVariants, "variant", name); }
Pool parse_pool(const std::string& name) { return parse(kPools, "pool", name); }
FinalNorm parse_final_norm(const std::string& name) { return parse(kFinalNorms, "norm", name); }

int64_t NetworkConfig::blocks(int64_t backbone_depth) const {
  if (method == Method::kLinear) return 0;
  return backbone_depth / gap + (variant == Variant::kC ? 1 : 0);
}

int64_t NetworkConfig::total_modules(int64_t backbone_depth) const {
  return blocks(backbone_depth) * modules;
}

nlohmann::json to_json(const NetworkConfig& config) {
  return {{"method", to_string(config.method)},
          {"rank", config.rank},
          {"gap", config.gap},
          {"heads", config.heads},
          {"modules", config.modules},
          {"variant", to_string(config.variant)},
          {"bias_correction", config.bias_correction},
          {"biases", config.biases},
          {"pool", to_string(config.pool)},
          {"norm", to_string(config.norm)}};
}

NetworkConfig network_config_from_json(const nlohmann::json& json) {
  try {
    NetworkConfig config;
    config.method = parse_method(json.at("method").get<std::string>());
    config.rank = json_integer(json.at("rank"));
    config.gap = json_integer(json.at("gap"));
    config.heads = json_integer(json.at("heads"));
    config.modules = json_integer(json.at("modules"));
    config.variant = parse_variant(json.at("variant").get<std::string>());
    config.bias_correction = json.at("bias_correction").get<bool>();
    config.biases = json.at("biases").get<bool>();
    config.pool = parse_pool(json.at("pool").get<std::string>());
    config.norm = parse_final_norm(json.at("norm").get<std::string>());
    return config;
  } catch (const nlohmann::json::exception& error) {
    fail("not a network configuration: ", error.what());
  }
}

void check_network_config(const NetworkConfig& config, const BackboneInfo& backbone) {
  if (config.pool == Pool::kCls && !backbone.has_cls_token) {
    fail("pool = cls needs a cls token, and this backbone has none (use mean-patch)");
  }
  if (config.pool == Pool::kMeanPatch && backbone.tokens <= backbone.prefix_tokens) {
    fail("pool = mean-patch needs patch tokens, and this backbone has none");
  }
  const auto positive = [](const char* name, int64_t value) {
    if (value < 1) fail_usage(name, " must be at least 1, not ", value);
  };
  positive("rank", config.rank);
  positive("gap", config.gap);
  positive("heads", config.heads);
  positive("modules", config.modules);
  if (config.method == Method::kLinear) {
    if (map_index(backbone, backbone.depth) < 0) {
      fail("a linear probe needs the final map z_", backbone.depth, ", which is not stored");
    }
    return;
  }
  if (config.rank % config.heads != 0) {
    fail_usage("heads ", config.heads, " does not divide rank ", config.rank);
  }
  if (config.rank > backbone.dim) {
    fail_usage("rank ", config.rank, " is larger than the backbone's ", backbone.dim, " channels");
  }
  if (backbone.depth % config.gap != 0) {
    fail_usage("gap ", config.gap, " does not divide the backbone's ", backbone.depth, " blocks");
  }
  for (int64_t layer = 0; layer <= backbone.depth; layer += config.gap) {
    if (map_index(backbone, layer) < 0) {
      fail("gap ", config.gap, " needs the map z_", layer,
           ", which is not stored; gaps possible with this store: ", possible_gaps(backbone));
    }
  }
}

std::vector<int64_t> needed_maps(const NetworkConfig& config, const BackboneInfo& backbone) {
  check_network_config(config, backbone);
  if (config.method == Method::kLinear) return {map_index(backbone, backbone.depth)};
  std::vector<int64_t> maps;
  for (int64_t layer = 0; layer <= backbone.depth; layer += config.gap) {
    maps.push_back(map_index(backbone, layer));
  }
  return maps;
}

}  // namespace last
