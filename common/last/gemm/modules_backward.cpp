#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "common/last/gemm/modules.h"

namespace last::gemm {

void modules_backward(const ModuleContext& context, const TokenMaps& maps, const Weights& weights,
                      Activations& activations, at::Tensor& d_branches, Weights& gradient) {
  const Shape& shape = context.shape;
  const int64_t networks = weights.up.size(0), s = shape.up_rows, rank3 = shape.qkv_rows();
  const int64_t columns = maps.rstd[0].size(0), images = columns / shape.tokens;
  const auto device = weights.up.device();
  const auto fp32 = weights.up.options(), own = fp32.dtype(context.products.own_type());
  const ModuleAttention attention(context, device, networks, images);
  const auto per_column =
      make_columns({shape, device, context.products.own_type(), context.attention_type(device),
                    networks, images, context.warn});
  auto d_q = at::zeros({networks, columns}, fp32);  // of q_{i+1}

  for (int64_t i = shape.modules() - 1; i >= 0; --i) {
    const auto block = static_cast<size_t>(shape.block_of(i));
    ModuleState state = std::move(activations.states[static_cast<size_t>(i)]);
    activations.states.pop_back();
    const auto d_x_total = gradient.cross.select(1, i);

    // q_{i+1} = q_i + <O_i, 2 u + H_ii O_i>:  dO_i += 2 dq (u + H_ii O_i),  du = 2 dq O_i
    auto d_output = attention.make_output();
    auto d_output_rows = attention.output_rows(d_output);
    per_column->attended_gradient(i, d_branches, state.gram_sums, d_q, d_output_rows);
    state.gram_sums.reset();
    const QkvRows d_qkv = attention.backward(state.attention, d_output);
    state.attention = {};
    // [Q K V] = alpha S + c:  dc = sum over tokens
    for (int64_t part = 0; part < 3; ++part) {
      gradient.qkv_constant.select(1, i)
          .narrow(1, part * shape.rank, shape.rank)
          .add_(d_qkv[static_cast<size_t>(part)].sum({2, 3}, false, at::kFloat));
    }

    auto d_products = at::empty({networks, shape.product_rows(i), columns}, own);
    // dZ = [tau dS; 2 dq O_i] of S = .. + tau sum_j (W bar(A_j)^T) O_j,  u = sum_j H_ij O_j
    auto d_cross = at::empty({networks, (i > 0 ? rank3 : 0) + s, columns}, own);
    at::Tensor d_inner;
    if (i > 0) d_inner = at::empty({networks, columns}, fp32);
    per_column->project_backward(i, d_qkv, state.products, activations.branches, state.alpha,
                                 maps.rstd[block], d_q, d_inner, d_products, d_cross);

    // dX_ij = dZ O_j^T for j < i;  dX_ii = [unused; dq O_i O_i^T]
    const auto d_x =
        context.products.over_columns(d_cross, activations.branches.narrow(1, 0, (i + 1) * s));
    d_x_total.narrow(1, rank3, s)
        .narrow(2, i * s, s)
        .add_(d_x.narrow(1, d_x.size(1) - s, s).narrow(2, i * s, s), 0.5);
    if (i > 0) {
      d_x_total.narrow(2, 0, i * s).add_(d_x.narrow(2, 0, i * s));
      // dO_j += X_ij^T dZ
      const auto x = weights.cross.select(1, i).narrow(2, 0, i * s);
      per_column->add_to_branches(i, state.products,
                                  context.products.over_rows(x.transpose(1, 2), d_cross), d_inner,
                                  d_branches);
    }
    // d[W_i; bar(A_0); ..] = [dS; dG] P_hat
    const auto rows = context.products.token_gradient(d_products, maps.normalized[block]);
    add_product_rows_gradient(gradient, rows, i, shape);
  }
}

}  // namespace last::gemm
