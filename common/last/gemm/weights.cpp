#include "common/last/gemm/weights.h"

#include <cmath>

#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros_like.h>

namespace last::gemm {
namespace {

// 1/sqrt(d) for the columns of Q, 1 for K and V: softmax(Q K^T / sqrt(d)) with the scale in A_Q.
at::Tensor column_scale(const Shape& shape, const at::TensorOptions& options) {
  auto scale = at::ones({shape.qkv_rows()}, options);
  scale.narrow(0, 0, shape.rank).fill_(1 / std::sqrt(static_cast<double>(shape.head_dim())));
  return scale;
}

}  // namespace

at::Tensor Weights::product_rows(int64_t module, const Shape& shape) const {
  const auto qkv = stacked.select(1, module).narrow(1, 0, shape.qkv_rows());
  return at::cat({qkv, up_centred.narrow(1, 0, module * shape.up_rows)}, 1);
}

Weights make_weights(const Parameters& p, const Shape& shape) {
  const int64_t networks = p.qkv_weight.size(0), modules = shape.modules(), dim = shape.dim;
  const auto scale = column_scale(shape, p.qkv_weight.options());
  Weights w;
  w.up = p.up_bias.defined() ? at::cat({p.up_weight, p.up_bias.unsqueeze(2)}, 2) : p.up_weight;
  w.up = w.up.reshape({networks, modules * shape.up_rows, dim});
  w.up_centred = w.up.sub(w.up.mean({-1}, true));
  // W = (diag(gamma) [A_Q / sqrt(d) | A_K | A_V])^T
  const auto qkv = p.qkv_weight.mul(scale);  // [K, M, D, 3r]
  const auto w_qkv = qkv.mul(p.norm_weight.unsqueeze(-1)).transpose(2, 3);
  w.stacked = at::cat({w_qkv, w.up_centred.view({networks, modules, shape.up_rows, dim})}, 2);
  // beta^T [A_Q / sqrt(d) | A_K | A_V] + bias
  w.qkv_constant = p.norm_bias.unsqueeze(2).matmul(qkv).squeeze(2);
  if (p.qkv_bias.defined()) w.qkv_constant.add_(p.qkv_bias.mul(scale));
  w.cross = w.stacked.view({networks, -1, dim})
                .bmm(w.up_centred.transpose(1, 2))
                .view({networks, modules, -1, modules * shape.up_rows});
  return w;
}

Weights zero_gradients(const Weights& weights) {
  return {at::zeros_like(weights.stacked), at::zeros_like(weights.qkv_constant),
          at::zeros_like(weights.up), at::zeros_like(weights.up_centred),
          at::zeros_like(weights.cross)};
}

void add_product_rows_gradient(Weights& gradient, const at::Tensor& rows, int64_t module,
                               const Shape& shape) {
  const int64_t up_rows = module * shape.up_rows;
  gradient.stacked.select(1, module)
      .narrow(1, 0, shape.qkv_rows())
      .add_(rows.narrow(1, 0, shape.qkv_rows()));
  gradient.up_centred.narrow(1, 0, up_rows).add_(rows.narrow(1, shape.qkv_rows(), up_rows));
}

void weights_backward(const Parameters& p, const Weights& weights, Weights& gradient,
                      const Shape& shape, Parameters& result) {
  const int64_t networks = p.qkv_weight.size(0), modules = shape.modules(), dim = shape.dim;
  const auto flat = [&](const at::Tensor& t) { return t.view({networks, -1, t.size(-1)}); };

  // X = S bar(A)^T:  dS += dX bar(A),  d bar(A) += dX^T S
  const auto d_cross = flat(gradient.cross);
  flat(gradient.stacked).baddbmm_(d_cross, weights.up_centred);
  gradient.up_centred.baddbmm_(d_cross.transpose(1, 2), flat(weights.stacked));
  gradient.up_centred.view({networks, modules, shape.up_rows, dim})
      .add_(gradient.stacked.narrow(2, shape.qkv_rows(), shape.up_rows));

  // bar(A) = A - mean(A):  dA += d bar(A) - mean(d bar(A))
  gradient.up.add_(gradient.up_centred).sub_(gradient.up_centred.mean({-1}, true));
  const auto d_up = gradient.up.view({networks, modules, shape.up_rows, dim});
  result.up_weight = d_up.narrow(2, 0, shape.rank);
  if (p.up_bias.defined()) result.up_bias = d_up.select(2, shape.rank);

  // W^T = diag(gamma) A with A scaled, c = beta^T A + bias:
  //   dgamma = rowsum(dW^T * A),  dbeta = A dc,  dA = diag(gamma) dW^T + beta dc^T,  dbias = dc
  const auto scale = column_scale(shape, p.qkv_weight.options());
  const auto qkv = p.qkv_weight.mul(scale);                                          // A
  const auto d_w = gradient.stacked.narrow(2, 0, shape.qkv_rows()).transpose(2, 3);  // dW^T
  const auto d_constant = gradient.qkv_constant.unsqueeze(2);                        // dc^T
  result.norm_weight = d_w.mul(qkv).sum({-1});
  result.norm_bias = qkv.matmul(d_constant.transpose(2, 3)).squeeze(-1);
  result.qkv_weight = d_w.mul(p.norm_weight.unsqueeze(-1))
                          .addcmul_(p.norm_bias.unsqueeze(-1), d_constant)
                          .mul_(scale);
  if (p.qkv_bias.defined()) result.qkv_bias = gradient.qkv_constant.mul(scale);
}

}  // namespace last::gemm
