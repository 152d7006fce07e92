#include <cmath>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Generator.h>
#include <ATen/ops/empty.h>

#include "common/last/parameters.h"

namespace last {

void initialize_network(Parameters& parameters, int64_t k, const NetworkConfig& config,
                        const BackboneInfo& backbone, int64_t classes, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  Parameters p = parameters.network(k);
  if (config.total_modules(backbone.depth) > 0) {
    p.norm_weight.fill_(1);
    p.norm_bias.zero_();
    // kaiming_uniform(a = sqrt 5) of a D x r projection: uniform in +-1/sqrt(D).
    const double bound = 1 / std::sqrt(static_cast<double>(backbone.dim));
    p.qkv_weight.uniform_(-bound, bound, generator);
    p.up_weight.zero_();
    if (config.biases) {
      p.qkv_bias.zero_();
      p.up_bias.zero_();
    }
  }
  if (config.norm == FinalNorm::kTrainable) {
    p.final_norm_weight.copy_(backbone.norm_weight);
    p.final_norm_bias.copy_(backbone.norm_bias);
  }
  p.head_weight.zero_();
  p.head_bias.zero_();
  // trunc_normal(std 0.02, cut at +-2): the cut lies at a hundred standard deviations.
  p.head_weight.narrow(1, 0, classes).normal_(0, 0.02, generator);
}

}  // namespace last
