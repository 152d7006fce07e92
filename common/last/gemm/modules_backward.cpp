#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/zeros.h>

#include "common/last/gemm/attention.h"
#include "common/last/gemm/fused_attention.h"
#include "common/last/gemm/modules.h"

namespace last::gemm {
namespace {

// The gradient of [Q K V], as [K, 3, r, B, n] (a view); d_o [K, r, L].
at::Tensor qkv_backward(const ModuleContext& context, const at::Tensor& qkv, const at::Tensor& d_o,
                        int64_t networks) {
  const Shape& shape = context.shape;
  const int64_t n = shape.tokens, images = d_o.size(2) / n;
  // [K, r, L] -> [K B h, d, n]
  const auto d_output = d_o.view({networks, shape.rank, images, n})
                            .transpose(1, 2)
                            .reshape({-1, shape.head_dim(), n});
  const auto d_qkv = context.fused_attention(qkv.device())
                         ? fused_attention_backward(qkv, d_output, context.attention_type())
                         : attention_backward(qkv, d_output, context.attention_max_bytes);
  return d_qkv.view({3, networks, images, shape.rank, n})
      .permute({1, 0, 3, 2, 4});  // [K, 3, r, B, n]
}

}  // namespace

void modules_backward(const ModuleContext& context, const TokenMaps& maps, const Weights& weights,
                      Activations& activations, at::Tensor& d_branches, Weights& gradient) {
  const Shape& shape = context.shape;
  const int64_t networks = weights.up.size(0), n = shape.tokens, s = shape.up_rows;
  const int64_t columns = maps.rstd[0].size(0), images = columns / n, rank3 = shape.qkv_rows();
  const auto options = weights.up.options();
  const auto d = static_cast<double>(shape.dim);
  auto d_q = at::zeros({networks, 1, columns}, options);  // of q_{i+1}

  for (int64_t i = shape.modules() - 1; i >= 0; --i) {
    const auto block = static_cast<size_t>(shape.block_of(i));
    ModuleState state = std::move(activations.states[static_cast<size_t>(i)]);
    activations.states.pop_back();
    const auto o_i = activations.branches.narrow(1, i * s, s);
    const auto d_o_i = d_branches.narrow(1, i * s, s);
    const auto d_cross = gradient.cross.select(1, i);
    const auto s_rows = state.products.narrow(1, 0, rank3);

    // q_{i+1} = q_i + <O_i, 2 u + H_ii O_i>:  dO_i += 2 dq (u + H_ii O_i),  du = 2 dq O_i
    if (state.gram_sums.defined()) d_o_i.addcmul_(state.gram_sums, d_q, 2);

    const auto constant = weights.qkv_constant.select(1, i);
    const auto qkv = project_qkv(s_rows, state.alpha, constant, shape);
    const auto d_qkv = qkv_backward(context, qkv, d_o_i.narrow(1, 0, shape.rank), networks);
    // [Q K V] = alpha S + c:  dc = sum over tokens
    gradient.qkv_constant.select(1, i).add_(d_qkv.sum({3, 4}).view({networks, rank3}));

    auto d_products = at::empty({networks, shape.product_rows(i), columns},
                                options.dtype(context.products.gradient_type()));
    auto d_s = d_products.narrow(1, 0, rank3).view({networks, 3, shape.rank, images, n});
    if (i == 0) {
      d_s.copy_(d_qkv);
      // u_0 = 0: of the cross terms only H_00 is there.
      const auto d_own = o_i.mul(d_q).bmm(o_i.transpose(1, 2));
      d_cross.narrow(1, rank3, s).narrow(2, 0, s).add_(d_own);
    } else {
      const auto& tau = maps.rstd[block];
      const auto alpha = state.alpha.unsqueeze(1);              // [K, 1, L]
      const auto o = activations.branches.narrow(1, 0, i * s);  // O_j, j < i
      const auto d_o = d_branches.narrow(1, 0, i * s);
      const auto g = state.products.narrow(1, rank3, i * s);
      // dS = alpha d[Q K V],  dalpha = sum over rows (d[Q K V] * S)
      at::mul_out(d_s, d_qkv, alpha.view({networks, 1, 1, images, n}));
      const auto d_alpha = d_qkv.mul(s_rows.view({networks, 3, shape.rank, images, n}))
                               .sum({1, 2})
                               .view({networks, 1, columns});
      // dkappa = -alpha^3 dalpha / 2, and 0 where the variance was clamped
      const auto unclamped = alpha.mul(tau).square_().mul_(kModuleNormEps).lt_(1);
      const auto d_kappa = alpha.pow(3).mul_(d_alpha).mul_(unclamped).mul_(-0.5);
      // kappa = (2 tau sum_j <O_j, G_j> + tau^2 q) / D
      const auto d_inner = d_kappa.mul(tau).mul_(2 / d);
      auto d_g = d_products.narrow(1, rank3, i * s);
      at::mul_out(d_g, o, d_inner);  // dG_j = d<,> O_j
      d_o.addcmul_(g, d_inner);      // dO_j += d<,> G_j
      // S = .. + tau sum_j (W bar(A_j)^T) O_j,  u = sum_j H_ij O_j:  dZ = [tau dS; 2 dq O_i]
      auto d_z = at::empty({networks, rank3 + s, columns}, options);
      auto d_z_s = d_z.narrow(1, 0, rank3), d_z_u = d_z.narrow(1, rank3, s);
      at::mul_out(d_z_s, d_products.narrow(1, 0, rank3), tau);
      at::mul_out(d_z_u, o_i, d_q).mul_(2);
      // dX_ij = dZ O_j^T for j < i;  dX_ii = [unused; dq O_i O_i^T]
      const auto up_to_i = activations.branches.narrow(1, 0, (i + 1) * s);
      const auto d_x = d_z.bmm(up_to_i.transpose(1, 2));
      const auto d_x_own = d_x.narrow(2, i * s, s);
      d_x_own.narrow(1, 0, rank3).zero_();
      d_x_own.narrow(1, rank3, s).mul_(0.5);
      d_cross.narrow(2, 0, (i + 1) * s).add_(d_x);
      // dO_j += X_ij^T dZ
      const auto x = weights.cross.select(1, i).narrow(2, 0, i * s);
      d_o.add_(x.transpose(1, 2).bmm(d_z));
      d_q.add_(d_kappa.mul_(tau.square()).div_(d));
    }
    // d[W_i; bar(A_0); ..] = [dS; dG] P_hat
    const auto rows = context.products.token_gradient(d_products, maps.normalized[block]);
    add_product_rows_gradient(gradient, rows, i, shape);
  }
}

}  // namespace last::gemm
