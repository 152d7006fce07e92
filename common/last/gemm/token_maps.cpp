#include "common/last/gemm/token_maps.h"

#include <ATen/ops/native_layer_norm.h>

namespace last::gemm {

TokenMaps make_token_maps(const at::Tensor& features, const NetworkConfig& config,
                          const BackboneInfo& backbone, const Shape& shape,
                          at::ScalarType operand_type) {
  const auto maps = needed_maps(config, backbone);
  const auto z = [&](size_t i) { return features.select(1, maps[i]); };
  const auto pool = [&](const at::Tensor& map) {
    return map.narrow(1, shape.first_pooled, shape.pooled).mean({1}, false, at::kFloat);
  };
  TokenMaps result;
  const size_t m = maps.size() - 1;
  if (shape.modules() == 0) {
    result.pooled = pool(z(m));
    return result;
  }
  // P_i = sum_{j<=i} z_j
  at::Tensor prefix = z(0).to(at::kFloat, false, /*copy=*/true).contiguous();
  size_t summed = 0;
  const auto sum_up_to = [&](size_t i) {
    while (summed < i) prefix.add_(z(++summed));
  };
  for (int64_t block = 0; block < shape.blocks; ++block) {
    // Block 0, 1, .. reads P_1, P_2, .. in variant D, P_0, P_1, .. in the others.
    sum_up_to(static_cast<size_t>(block + (config.variant == Variant::kD ? 1 : 0)));
    const auto [normalized, mean, rstd] =
        at::native_layer_norm(prefix, {shape.dim}, {}, {}, kModuleNormEps);
    result.normalized.push_back(normalized.view({-1, shape.dim}).to(operand_type));
    result.rstd.push_back(rstd.view({-1}));
  }
  if (config.bias_correction) {
    result.pooled = pool(z(m));
  } else {
    sum_up_to(m);
    result.pooled = pool(prefix);
  }
  return result;
}

}  // namespace last::gemm
