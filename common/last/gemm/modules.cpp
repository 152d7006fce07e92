#include "common/last/gemm/modules.h"

#include <utility>

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

namespace last::gemm {

Activations modules_forward(const ModuleContext& context, const TokenMaps& maps,
                            const Weights& weights, bool keep_states) {
  const Shape& shape = context.shape;
  const int64_t networks = weights.up.size(0), s = shape.up_rows, rank3 = shape.qkv_rows();
  const int64_t columns = maps.rstd[0].size(0), images = columns / shape.tokens;
  const auto device = weights.up.device();
  const auto own = weights.up.options().dtype(context.products.own_type());
  const ModuleAttention attention(context, device, networks, images);
  const auto per_column =
      make_columns({shape, device, context.products.own_type(), context.attention_type(device),
                    networks, images, context.warn});
  Activations result;
  result.branches = at::empty({networks, shape.modules() * s, columns}, own);
  auto q = at::zeros({networks, columns}, weights.up.options());

  for (int64_t i = 0; i < shape.modules(); ++i) {
    const auto block = static_cast<size_t>(shape.block_of(i));
    const auto x = weights.cross.select(1, i);  // [K, 3r + s, M s]
    const bool last = i + 1 == shape.modules();
    ModuleState state;

    // [S; G] = [W_i; bar(A_0); ..; bar(A_{i-1})] P_hat^T
    state.products =
        context.products.with_tokens(weights.product_rows(i, shape), maps.normalized[block]);
    at::Tensor cross;  // [sum_j (W bar(A_j)^T) O_j^T; u]  [K, 3r + s, L]
    if (i > 0) {
      cross =
          context.products.over_rows(x.narrow(2, 0, i * s), result.branches.narrow(1, 0, i * s));
      state.alpha = at::empty_like(q);
    }
    state.attention.qkv = attention.make_qkv();
    per_column->project(i, state.products, cross, result.branches, q, maps.rstd[block],
                        weights.qkv_constant.select(1, i), state.alpha,
                        attention.qkv_rows(state.attention.qkv));

    const auto output = attention.forward(state.attention);
    at::Tensor gram;
    if (!last) {
      gram = x.narrow(1, rank3, s).narrow(2, i * s, s);
      if (keep_states) state.gram_sums = at::empty({networks, s, columns}, own);
    }
    per_column->add_branch(i, output, cross, gram, result.branches, state.gram_sums, q);
    if (keep_states) result.states.push_back(std::move(state));
  }
  return result;
}

}  // namespace last::gemm
