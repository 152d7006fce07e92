#include "common/last/gemm/head.h"

#include <limits>
#include <tuple>

#include <ATen/ops/_log_softmax.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/native_layer_norm.h>
#include <ATen/ops/native_layer_norm_backward.h>

namespace last::gemm {
namespace {

// Broadcast over [K, B, D].
at::Tensor norm_weight(const Parameters& p, FinalNorm norm, const FrozenNorm& frozen) {
  return norm == FinalNorm::kTrainable ? p.final_norm_weight.unsqueeze(1) : frozen.weight;
}

at::Tensor norm_bias(const Parameters& p, FinalNorm norm, const FrozenNorm& frozen) {
  return norm == FinalNorm::kTrainable ? p.final_norm_bias.unsqueeze(1) : frozen.bias;
}

}  // namespace

HeadState head_forward(const at::Tensor& pooled, const Parameters& p, FinalNorm norm,
                       const FrozenNorm& frozen, const at::Tensor& own_class) {
  HeadState state;
  state.pooled = pooled;
  state.features = pooled;
  if (norm != FinalNorm::kNone) {
    std::tie(state.normalized, state.mean, state.rstd) =
        at::native_layer_norm(pooled, {pooled.size(2)}, {}, {}, frozen.eps);
    state.features =
        state.normalized.mul(norm_weight(p, norm, frozen)).add_(norm_bias(p, norm, frozen));
  }
  // logits = features W^T + b
  state.logits =
      at::baddbmm(p.head_bias.unsqueeze(1), state.features, p.head_weight.transpose(1, 2))
          .masked_fill_(own_class.logical_not(), -std::numeric_limits<double>::infinity());
  return state;
}

at::Tensor head_backward(const HeadState& state, const at::Tensor& d_logits, const Parameters& p,
                         FinalNorm norm, const FrozenNorm& frozen, Parameters& result) {
  result.head_weight = d_logits.transpose(1, 2).bmm(state.features);
  result.head_bias = d_logits.sum({1});
  auto d_features = d_logits.bmm(p.head_weight);
  if (norm == FinalNorm::kNone) return d_features;
  if (norm == FinalNorm::kTrainable) {
    result.final_norm_weight = d_features.mul(state.normalized).sum({1});
    result.final_norm_bias = d_features.sum({1});
  }
  const auto d_normalized = d_features.mul(norm_weight(p, norm, frozen));
  return std::get<0>(at::native_layer_norm_backward(d_normalized, state.pooled,
                                                    {state.pooled.size(2)}, state.mean, state.rstd,
                                                    {}, {}, {true, false, false}));
}

Loss cross_entropy(const at::Tensor& logits, const Targets& targets) {
  const auto log_p = at::_log_softmax(logits, -1, /*half_to_float=*/false);
  const auto classes = targets.own_class.sum({-1}, true, at::kFloat);  // [K, 1, 1]
  const auto index = at::arange(logits.size(2), targets.labels.options());
  // t = (1 - s) onehot + s / C over own classes
  const auto t = targets.labels.unsqueeze(-1)
                     .eq(index)
                     .mul(targets.smoothing.neg().add_(1))
                     .add_(targets.own_class.mul(targets.smoothing.div(classes)));
  const auto ignored = targets.row_weight.eq(0);  // [K, B]
  const auto row_loss =
      log_p.masked_fill(targets.own_class.logical_not(), 0).mul_(t).sum({-1}).neg_();
  Loss result;
  result.loss =
      row_loss.masked_fill_(ignored, 0).mul_(targets.row_weight).sum({1}, false, at::kDouble);
  result.correct = logits.argmax(-1).eq(targets.labels).sum({1});
  // d(loss)/d(logits) = (softmax - t) / labelled rows
  result.d_logits = log_p.exp().sub_(t).mul_(targets.row_weight.unsqueeze(-1));
  result.d_logits.masked_fill_(ignored.unsqueeze(-1), 0);
  return result;
}

}  // namespace last::gemm
