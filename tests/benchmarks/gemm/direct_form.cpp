#include "tests/benchmarks/gemm/direct_form.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>

namespace last {

double direct_step(const BankConfig& bank, const at::Tensor& features, const at::Tensor& labels,
                   const Parameters& parameters) {
  const auto& backbone = bank.backbone;
  const int64_t networks = labels.size(0), images = features.size(0), n = backbone.tokens;
  const int64_t dim = backbone.dim, rank = bank.network.rank, heads = bank.network.heads;
  const auto rows = [&](const at::Tensor& t) { return t.reshape({networks, images * n, -1}); };
  const auto z = [&](int64_t i) { return features.select(1, i).to(at::kFloat); };

  auto prefix = z(0);
  at::Tensor d = at::zeros({networks, images, n, dim}, prefix.options());
  for (int64_t i = 0; i < backbone.depth; ++i) {
    prefix = prefix + z(i + 1);
    const auto of_module = [&](const at::Tensor& t) { return t.select(1, i); };
    const auto broadcast = [&](const at::Tensor& t) {
      return of_module(t).view({networks, 1, 1, dim});
    };
    const auto normalized = at::layer_norm(prefix + d, {dim}, {}, {}, kModuleNormEps);
    const auto x = normalized * broadcast(parameters.norm_weight) + broadcast(parameters.norm_bias);
    const auto qkv = rows(x)
                         .bmm(of_module(parameters.qkv_weight))
                         .view({networks * images, n, 3, heads, rank / heads})
                         .permute({2, 0, 3, 1, 4});
    const auto o = at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
                       .transpose(1, 2)
                       .reshape({networks, images * n, rank});
    d = d + o.bmm(of_module(parameters.up_weight)).view({networks, images, n, dim});
  }
  const auto pooled =
      (z(backbone.depth) + d).narrow(2, backbone.prefix_tokens, n - backbone.prefix_tokens).mean(2);
  const auto normed = at::layer_norm(pooled, {dim}, backbone.norm_weight.to(pooled.device()),
                                     backbone.norm_bias.to(pooled.device()), backbone.norm_eps);
  const auto logits = at::baddbmm(parameters.head_bias.unsqueeze(1), normed,
                                  parameters.head_weight.transpose(1, 2));
  const auto loss = at::cross_entropy_loss(logits.flatten(0, 1), labels.flatten());
  (loss * networks).backward();
  return loss.item<double>();
}

}  // namespace last
