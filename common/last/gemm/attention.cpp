#include "common/last/gemm/attention.h"

#include <algorithm>

#include <ATen/ops/_softmax.h>
#include <ATen/ops/_softmax_backward_data.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

namespace last::gemm {
namespace {

constexpr int64_t kScoreMatrices = 3;  // scores (then dP), P, dS

int64_t chunk_size(int64_t count, int64_t tokens, int64_t max_bytes) {
  return std::clamp<int64_t>(max_bytes / attention_bytes(1, tokens), 1,
                             std::max<int64_t>(count, 1));
}

// P = softmax(q^T k) [c, n, n]; `scores` is scratch of that shape.
at::Tensor probabilities(const at::Tensor& q, const at::Tensor& k, at::Tensor& scores) {
  at::bmm_out(scores, q.transpose(1, 2), k);
  return at::_softmax(scores, -1, /*half_to_float=*/false);
}

}  // namespace

int64_t attention_bytes(int64_t count, int64_t tokens) {
  return kScoreMatrices * count * tokens * tokens * static_cast<int64_t>(sizeof(float));
}

at::Tensor attention(const at::Tensor& qkv, int64_t max_bytes) {
  const int64_t count = qkv.size(1), tokens = qkv.size(3);
  const int64_t chunk = chunk_size(count, tokens, max_bytes);
  auto output = at::empty(qkv.sizes().slice(1), qkv.options());
  for (int64_t first = 0; first < count; first += chunk) {
    const int64_t size = std::min(chunk, count - first);
    const auto part = qkv.narrow(1, first, size);
    auto scores = at::empty({size, tokens, tokens}, qkv.options());
    const auto p = probabilities(part[0], part[1], scores);
    auto o = output.narrow(0, first, size);
    at::bmm_out(o, part[2], p.transpose(1, 2));  // O = V P^T
  }
  return output;
}

at::Tensor attention_backward(const at::Tensor& qkv, const at::Tensor& d_output,
                              int64_t max_bytes) {
  const int64_t count = qkv.size(1), tokens = qkv.size(3);
  const int64_t chunk = chunk_size(count, tokens, max_bytes);
  auto d_qkv = at::empty_like(qkv);
  for (int64_t first = 0; first < count; first += chunk) {
    const int64_t size = std::min(chunk, count - first);
    const auto part = qkv.narrow(1, first, size), d_part = d_qkv.narrow(1, first, size);
    const auto q = part[0], k = part[1], v = part[2];
    auto d_q = d_part[0], d_k = d_part[1], d_v = d_part[2];
    const auto d_o = d_output.narrow(0, first, size);
    auto scores = at::empty({size, tokens, tokens}, qkv.options());
    const auto p = probabilities(q, k, scores);
    at::bmm_out(d_v, d_o, p);                     // dV = dO P
    at::bmm_out(scores, d_o.transpose(1, 2), v);  // dP = dO^T V
    // dS = P * (dP - rowsum(P * dP))
    const auto d_s = at::_softmax_backward_data(scores, p, -1, at::kFloat);
    at::bmm_out(d_q, k, d_s.transpose(1, 2));  // dQ = K dS^T
    at::bmm_out(d_k, q, d_s);                  // dK = Q dS
  }
  return d_qkv;
}

}  // namespace last::gemm
