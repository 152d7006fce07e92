#include "common/last/fused/kernels/table.h"
#include "common/last/fused/kernels/vec.h"

// LayerNorm, as far as it happens on r-dimensional rows.
namespace last::fused::LAST_ISA_NAMESPACE {

// rstd = 1 / sqrt(var + eps);  y = rstd (x Wc) + shift
void normalize(const Shape& shape, const float* squares, float eps, const float* shift, float* rstd,
               float* qkv) {
  for (int t = 0; t < shape.rows; ++t) {
    const float variance = sum(load(squares + t * kLanes)) / static_cast<float>(shape.dim);
    rstd[t] = 1.f / __builtin_sqrtf(variance + eps);
    float* y = qkv + static_cast<long>(t) * shape.qkv_stride;
    for (int c = 0; c < 3 * shape.rank; c += kLanes) {
      store(y + c, load(y + c) * rstd[t] + load(shift + c));
    }
  }
}

// mean(O A + b) = O mean(A) + mean(b)
void advance_means(const Shape& shape, const float* attended, const float* up_means,
                   float bias_mean, float* means) {
  for (int t = 0; t < shape.tokens; ++t) {
    const float* o = attended + static_cast<long>(t) * shape.rank_stride;
    Vec total = {};
    for (int c = 0; c < shape.rank; c += kLanes) {
      total += load_part(o + c, shape.rank - c) * load(up_means + c);
    }
    means[t] += sum(total) + bias_mean;
  }
}

// For x-hat = rstd (x - mu) and d_y:
//   d_x = rstd (d_y W^T - mean(..) - x-hat mean(d_y W^T . x-hat)),  the last mean being
//   <d_y, y - shift> / D
void normalize_backward(const Shape& shape, const float* qkv, const float* shift, const float* rstd,
                        float* d_qkv, float* input_factors, float* d_shift) {
  const int columns = 3 * shape.rank;
  Vec d_shifts[kMaxQkv / kLanes] = {};
  for (int t = 0; t < shape.rows; ++t) {
    const float* y = qkv + static_cast<long>(t) * shape.qkv_stride;
    float* dy = d_qkv + static_cast<long>(t) * shape.qkv_stride;
    Vec dot = {};
    for (int c = 0; c < columns; c += kLanes) {
      const Vec d = t < shape.tokens ? load_part(dy + c, columns - c) : Vec{};
      d_shifts[c / kLanes] += d;
      dot += d * (load(y + c) - load(shift + c));
      store(dy + c, t < shape.tokens ? d * rstd[t] : Vec{});
    }
    // Times x - mu = x-hat / rstd, and E = rstd d_y.
    input_factors[t] = rstd[t] * rstd[t] * sum(dot) / static_cast<float>(shape.dim);
  }
  // Attention has written behind the last row, and in the crossed form the memory will be Q, K, V.
  for (int i = shape.rows * shape.qkv_stride; i < shape.lanes * shape.qkv_stride; i += kLanes) {
    store(d_qkv + i, Vec{});
  }
  for (int c = 0; c < columns; c += kLanes)
    store_part(d_shift + c, d_shifts[c / kLanes], columns - c);
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
