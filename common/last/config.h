#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/backbone_info.h"

namespace last {

enum class Method { kLast, kLinear };
// Which prefix sum block i sees: D: P_i (the paper's figure); B: P_{i-1}; C: as D, and one more
// block at the front that sees z_0.
enum class Variant { kB, kC, kD };
enum class Pool { kMeanPatch, kCls, kMeanAll };
enum class FinalNorm { kFrozen, kTrainable, kNone };

// The shape of a side network: networks of equal shape can be trained in one bank. Defaults are
// those of the command line.
struct NetworkConfig {
  Method method = Method::kLast;
  int64_t rank = 16;    // r
  int64_t gap = 1;      // g, divides the backbone's depth
  int64_t heads = 1;    // h, divides rank
  int64_t modules = 1;  // T, LSA modules per block
  Variant variant = Variant::kD;
  bool bias_correction = true;
  bool biases = false;  // of the four projections; LayerNorm and head always have theirs
  Pool pool = Pool::kMeanPatch;
  FinalNorm norm = FinalNorm::kFrozen;

  bool operator==(const NetworkConfig&) const = default;

  // Blocks of LSA modules in the side network: N/g, one more in variant C, 0 for a linear probe.
  int64_t blocks(int64_t backbone_depth) const;
  // blocks * T.
  int64_t total_modules(int64_t backbone_depth) const;
};

inline constexpr double kModuleNormEps = 1e-6;

std::string to_string(Method value);
std::string to_string(Variant value);
std::string to_string(Pool value);
std::string to_string(FinalNorm value);
// The inverse; an unknown name is a UsageError that lists the known ones.
Method parse_method(const std::string& name);
Variant parse_variant(const std::string& name);
Pool parse_pool(const std::string& name);
FinalNorm parse_final_norm(const std::string& name);

nlohmann::json to_json(const NetworkConfig& config);
NetworkConfig network_config_from_json(const nlohmann::json& json);

// Whether the network fits the backbone and the stored layers. UsageError: gap doesn't divide the
// depth, heads don't divide rank, a value below 1. Error: a map it needs is not stored (the gaps
// that are possible are named), pool = cls without a cls token.
void check_network_config(const NetworkConfig& config, const BackboneInfo& backbone);

// Indices into the stored layers of z_0, z_g, .., z_N; for a linear probe only z_N.
std::vector<int64_t> needed_maps(const NetworkConfig& config, const BackboneInfo& backbone);

}  // namespace last
