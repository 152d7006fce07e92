#include "common/last/network.h"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros_like.h>

namespace last {
namespace {

// P_i + D, the stream that block i reads; i = 0 is variant C's extra block at the front.
//   D: P_i,  B: P_{i-1},  C: P_i with i from 0
int64_t last_map_seen(int64_t block, Variant variant) {
  switch (variant) {
    case Variant::kB:
    case Variant::kC:
      return block;
    case Variant::kD:
      return block + 1;
  }
  return block;
}

}  // namespace

at::Tensor attention_branch(const at::Tensor& x, const Parameters& p, int64_t module,
                            const NetworkConfig& config) {
  const int64_t batch = x.size(0), tokens = x.size(1), dim = x.size(2);
  const int64_t head_dim = config.rank / config.heads;
  const auto of_module = [&](const at::Tensor& t) { return t[0][module]; };

  // X' = LN(X)
  const auto x_norm =
      at::layer_norm(x, {dim}, of_module(p.norm_weight), of_module(p.norm_bias), kModuleNormEps);
  // [Q K V] = X' [A_Q A_K A_V]
  auto qkv = at::matmul(x_norm, of_module(p.qkv_weight));
  if (p.qkv_bias.defined()) qkv = qkv + of_module(p.qkv_bias);
  qkv = qkv.reshape({batch, tokens, 3, config.heads, head_dim}).permute({2, 0, 3, 1, 4});
  const auto q = qkv[0], k = qkv[1], v = qkv[2];  // [B, h, n, d]
  // O = concat_h softmax(Q_h K_h^T / sqrt(r/h)) V_h
  const auto scores = at::matmul(q, k.transpose(-2, -1)) / std::sqrt(static_cast<double>(head_dim));
  const auto o = at::matmul(at::softmax(scores, -1), v)  // [B, h, n, d]
                     .transpose(1, 2)
                     .reshape({batch, tokens, config.rank});
  // f(X) - X = O A_up
  const auto branch = at::matmul(o, of_module(p.up_weight));
  return p.up_bias.defined() ? branch + of_module(p.up_bias) : branch;
}

at::Tensor side_network(const at::Tensor& features, const Parameters& p,
                        const NetworkConfig& config, const BackboneInfo& backbone) {
  const auto maps = needed_maps(config, backbone);
  const auto dtype = p.head_weight.scalar_type();  // fp64 in numerical checks
  const auto z = [&](size_t i) { return features.select(1, maps[i]).to(dtype); };
  if (config.method == Method::kLinear) return z(0);

  const size_t m = maps.size() - 1;
  at::Tensor prefix = z(0);  // P_i = sum_{j<=i} z_j
  size_t summed = 0;
  at::Tensor d = at::zeros_like(prefix);  // D, the sum of the attention branches so far
  int64_t module = 0;
  for (int64_t block = 0; block < config.blocks(backbone.depth); ++block) {
    const auto seen = static_cast<size_t>(last_map_seen(block, config.variant));
    while (summed < seen) prefix = prefix + z(++summed);
    for (int64_t t = 0; t < config.modules; ++t) {
      d = d + attention_branch(prefix + d, p, module++, config);
    }
  }
  if (config.bias_correction) return z(m) + d;
  while (summed < m) prefix = prefix + z(++summed);
  return prefix + d;
}

at::Tensor head(const at::Tensor& output, const Parameters& p, const NetworkConfig& config,
                const BackboneInfo& backbone) {
  at::Tensor pooled;
  switch (config.pool) {
    case Pool::kMeanPatch:
      pooled = output.narrow(1, backbone.prefix_tokens, backbone.tokens - backbone.prefix_tokens)
                   .mean(1);
      break;
    case Pool::kCls:
      pooled = output.select(1, 0);
      break;
    case Pool::kMeanAll:
      pooled = output.mean(1);
      break;
  }
  const auto norm = [&](const at::Tensor& weight, const at::Tensor& bias) {
    return at::layer_norm(pooled, {backbone.dim}, weight.to(pooled.options()),
                          bias.to(pooled.options()), backbone.norm_eps);
  };
  if (config.norm == FinalNorm::kFrozen) pooled = norm(backbone.norm_weight, backbone.norm_bias);
  if (config.norm == FinalNorm::kTrainable) {
    pooled = norm(p.final_norm_weight[0], p.final_norm_bias[0]);
  }
  return at::linear(pooled, p.head_weight[0], p.head_bias[0]);
}

}  // namespace last
