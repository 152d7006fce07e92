#include "trainer/sweep/grid.h"

namespace last {
namespace {

// Replaces every setting by one copy per value.
template <class Value, class Assign>
void multiply(std::vector<Setting>& settings, const std::vector<Value>& values, Assign assign) {
  std::vector<Setting> all;
  all.reserve(settings.size() * values.size());
  for (const auto& setting : settings) {
    for (const auto& value : values) assign(all.emplace_back(setting), value);
  }
  settings = std::move(all);
}

void multiply_module_options(std::vector<Setting>& settings, const SearchSpace& space) {
  multiply(settings, space.ranks, [](Setting& s, int64_t v) { s.network.rank = v; });
  multiply(settings, space.gaps, [](Setting& s, int64_t v) { s.network.gap = v; });
  multiply(settings, space.heads, [](Setting& s, int64_t v) { s.network.heads = v; });
  multiply(settings, space.modules, [](Setting& s, int64_t v) { s.network.modules = v; });
  multiply(settings, space.variants, [](Setting& s, Variant v) { s.network.variant = v; });
  multiply(settings, space.bias_corrections,
           [](Setting& s, bool v) { s.network.bias_correction = v; });
  multiply(settings, space.biases, [](Setting& s, bool v) { s.network.biases = v; });
}

void multiply_common_options(std::vector<Setting>& settings, const SearchSpace& space) {
  multiply(settings, space.pools, [](Setting& s, Pool v) { s.network.pool = v; });
  multiply(settings, space.norms, [](Setting& s, FinalNorm v) { s.network.norm = v; });
  multiply(settings, space.learning_rates, [](Setting& s, double v) { s.learning_rate = v; });
  multiply(settings, space.head_learning_rate_scales,
           [](Setting& s, double v) { s.head_learning_rate_scale = v; });
  multiply(settings, space.weight_decays, [](Setting& s, double v) { s.weight_decay = v; });
  multiply(settings, space.label_smoothings, [](Setting& s, double v) { s.label_smoothing = v; });
  multiply(settings, space.seeds, [](Setting& s, int64_t v) { s.seed = v; });
}

}  // namespace

bool same_but_for_seed(const Setting& a, const Setting& b) {
  return a.target == b.target && a.network == b.network && a.learning_rate == b.learning_rate &&
         a.head_learning_rate_scale == b.head_learning_rate_scale &&
         a.weight_decay == b.weight_decay && a.label_smoothing == b.label_smoothing;
}

std::vector<Setting> make_grid(const SearchSpace& space, int64_t targets) {
  std::vector<Setting> grid;
  for (const Method method : space.methods) {
    for (int64_t target = 0; target < targets; ++target) {
      Setting first;
      first.target = target;
      first.network.method = method;
      std::vector<Setting> settings = {first};
      if (method == Method::kLast) multiply_module_options(settings, space);
      multiply_common_options(settings, space);
      grid.insert(grid.end(), settings.begin(), settings.end());
    }
  }
  for (size_t i = 0; i < grid.size(); ++i) grid[i].index = static_cast<int64_t>(i);
  return grid;
}

}  // namespace last
