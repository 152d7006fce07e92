#include "common/last/fused/plan.h"

#include <algorithm>

#include "common/error.h"

namespace last::fused {
namespace {

int round_up(int64_t value, int to) { return static_cast<int>((value + to - 1) / to * to); }

Shape make_shape(const NetworkConfig& network, const BackboneInfo& backbone, bool crossed) {
  if (network.rank > kMaxRank) {
    fail_usage("rank ", network.rank, " is above ", kMaxRank,
               ", the most that this engine supports");
  }
  Shape shape = {};
  shape.tokens = static_cast<int>(backbone.tokens);
  shape.rows = round_up(backbone.tokens, 4);
  shape.lanes = round_up(backbone.tokens, 16);
  shape.dim = static_cast<int>(backbone.dim);
  shape.padded_dim = round_up(backbone.dim, 16);
  shape.rank = static_cast<int>(network.rank);
  shape.heads = static_cast<int>(network.heads);
  shape.head_dim = shape.rank / shape.heads;
  shape.up_rank = shape.rank + (crossed && network.biases ? 1 : 0);
  shape.rank_stride = round_up(shape.up_rank, 16);
  shape.qkv_stride = round_up(3 * network.rank, 16);
  return shape;
}

int count_crossed(const NetworkConfig& network, const BackboneInfo& backbone, BackwardForm form) {
  const auto modules = static_cast<int>(network.total_modules(backbone.depth));
  switch (form) {
    case BackwardForm::kPlain:
      return 0;
    case BackwardForm::kHalf:
      return modules < 3 ? 0 : (modules + 1) / 2;
    case BackwardForm::kCrossed:
      return modules < 2 ? 0 : modules;
    case BackwardForm::kBest:
      break;
  }
  return best_crossed_modules(network, modules, static_cast<int>(backbone.tokens),
                              static_cast<int>(backbone.dim));
}

}  // namespace

Plan::Plan(const NetworkConfig& network_config, const BackboneInfo& backbone, BackwardForm form)
    : network(network_config), crossed_modules(count_crossed(network_config, backbone, form)) {
  shape = make_shape(network, backbone, crossed_modules > 0);
  for (const int64_t map : needed_maps(network, backbone)) maps.push_back(static_cast<int>(map));
  blocks = static_cast<int>(network.blocks(backbone.depth));
  modules = static_cast<int>(network.total_modules(backbone.depth));
  if (crossed_modules > 0) layout = CrossedLayout(shape, crossed_modules);
  maps_before_block = network.variant == Variant::kD ? 2 : 1;
  strips = (shape.padded_dim + kStrip - 1) / kStrip;
  pool_begin = network.pool == Pool::kMeanPatch ? static_cast<int>(backbone.prefix_tokens) : 0;
  pool_end = network.pool == Pool::kCls ? 1 : shape.tokens;
  pool_weights.assign(static_cast<size_t>(shape.rows), 0);
  std::fill(pool_weights.begin() + pool_begin, pool_weights.begin() + pool_end,
            1.f / static_cast<float>(pool_end - pool_begin));
}

int Plan::strip_width(int strip) const {
  return std::min(kStrip, shape.padded_dim - strip * kStrip);
}

int Plan::strip_dims(int strip) const { return std::min(kStrip, shape.dim - strip * kStrip); }

int Plan::query_rows(int module) const {
  return network.pool == Pool::kCls && module == modules - 1 ? 1 : shape.rows;
}

}  // namespace last::fused
