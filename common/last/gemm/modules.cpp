#include "common/last/gemm/modules.h"

#include <utility>

#include <ATen/ops/add.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "common/last/gemm/attention.h"
#include "common/last/gemm/fused_attention.h"

namespace last::gemm {
namespace {

// alpha = (1 + kappa)^(-1/2), clamped so that the variance is not negative.
//   g, o [K, i s, L]; q [K, L]; tau [L]  ->  [K, L]
at::Tensor relative_rstd(const at::Tensor& g, const at::Tensor& o, const at::Tensor& q,
                         const at::Tensor& tau, int64_t dim) {
  // kappa = (2 tau sum_j <O_j, G_j> + tau^2 q) / D
  const auto sum = g.mul(o).sum({1}).mul_(2).addcmul_(q, tau);
  const auto kappa = sum.mul_(tau).div_(static_cast<double>(dim));
  return kappa.add_(1).clamp_min_(tau.square().mul_(kModuleNormEps)).rsqrt_();
}

}  // namespace

bool ModuleContext::fused_attention(const c10::Device& device) const {
  return attention == AttentionKernel::kFused &&
         fused_attention_fits(device, shape.head_dim(), attention_type());
}

at::ScalarType ModuleContext::attention_type() const {
  return products.operand_type() == at::kBFloat16 ? at::kBFloat16 : at::kFloat;
}

at::Tensor project_qkv(const at::Tensor& s, const at::Tensor& alpha, const at::Tensor& constant,
                       const Shape& shape) {
  const int64_t networks = s.size(0), n = shape.tokens, images = s.size(2) / n;
  const int64_t h = shape.heads, d = shape.head_dim();
  auto qkv = at::empty({3, networks, images, h, d, n}, s.options());
  auto target = qkv.permute({1, 0, 3, 4, 2, 5});  // [K, 3, h, d, B, n]
  const auto s_view = s.view({networks, 3, h, d, images, n});
  const auto c_view = constant.reshape({networks, 3, h, d, 1, 1});
  if (alpha.defined()) {
    at::addcmul_out(target, c_view, s_view, alpha.view({networks, 1, 1, 1, images, n}));
  } else {
    at::add_out(target, c_view, s_view);
  }
  return qkv.view({3, networks * images * h, d, n});
}

Activations modules_forward(const ModuleContext& context, const TokenMaps& maps,
                            const Weights& weights, bool keep_states) {
  const Shape& shape = context.shape;
  const int64_t networks = weights.up.size(0), n = shape.tokens, s = shape.up_rows;
  const int64_t columns = maps.rstd[0].size(0), images = columns / n;
  const auto options = weights.up.options();
  Activations result;
  result.branches = at::empty({networks, shape.modules() * s, columns}, options);
  auto q = at::zeros({networks, columns}, options);

  for (int64_t i = 0; i < shape.modules(); ++i) {
    const auto block = static_cast<size_t>(shape.block_of(i));
    const auto cross = weights.cross.select(1, i);  // [K, 3r + s, M s]
    const bool last = i + 1 == shape.modules();
    ModuleState state;
    at::Tensor u;  // sum_{j<i} H_ij O_j

    // [S; G] = [W_i; bar(A_0); ..; bar(A_{i-1})] P_hat^T
    state.products =
        context.products.with_tokens(weights.product_rows(i, shape), maps.normalized[block]);
    const auto s_rows = state.products.narrow(1, 0, shape.qkv_rows());
    if (i > 0) {
      const auto& tau = maps.rstd[block];
      const auto o = result.branches.narrow(1, 0, i * s);
      const auto g = state.products.narrow(1, shape.qkv_rows(), i * s);
      state.alpha = relative_rstd(g, o, q, tau, shape.dim);
      // S += tau sum_j (W bar(A_j)^T) O_j^T
      const auto z = cross.narrow(2, 0, i * s).bmm(o);  // [K, 3r + s, L]
      s_rows.addcmul_(z.narrow(1, 0, shape.qkv_rows()), tau);
      u = z.narrow(1, shape.qkv_rows(), s);
    }

    // O_i = concat_h softmax(Q_h K_h^T / sqrt(d)) V_h
    const auto constant = weights.qkv_constant.select(1, i);
    const auto qkv = project_qkv(s_rows, state.alpha, constant, shape);
    const auto output = context.fused_attention(qkv.device())
                            ? fused_attention(qkv, context.attention_type())
                            : attention(qkv, context.attention_max_bytes);  // [K B h, d, n]
    const auto o_i = result.branches.narrow(1, i * s, s);
    o_i.narrow(1, 0, shape.rank)
        .view({networks, shape.rank, images, n})
        .copy_(output.view({networks, images, shape.rank, n}).transpose(1, 2));
    if (s > shape.rank) o_i.select(1, shape.rank).fill_(1);

    // q += <O_i, 2 u + H_ii O_i>
    if (!last) {
      const auto own = cross.narrow(1, shape.qkv_rows(), s).narrow(2, i * s, s).bmm(o_i);
      state.gram_sums = u.defined() ? own.add_(u) : own;
      q.add_((u.defined() ? u.add_(state.gram_sums) : state.gram_sums).mul(o_i).sum({1}));
    }
    if (keep_states) result.states.push_back(std::move(state));
  }
  return result;
}

}  // namespace last::gemm
