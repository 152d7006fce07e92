#include "common/last/fused/kernels/table.h"
#include "common/last/fused/kernels/vec.h"

// What is done once per batch for a module's weights.
namespace last::fused::LAST_ISA_NAMESPACE {

// column_means = mean_d gamma_d W_d,  shift = beta^T W + bias,  up_means = mean over D of A's rows
void prepare_module(const Shape& shape, const float* norm_weight, const float* norm_bias,
                    const float* qkv_weight, const float* qkv_bias, const float* up,
                    float* column_means, float* shift, float* up_means) {
  const int columns = 3 * shape.rank;
  const float inverse = 1.f / static_cast<float>(shape.dim);
  for (int c = 0; c < columns; c += kLanes) {
    const int count = columns - c;
    Vec mean = {}, offset = {};
    for (int d = 0; d < shape.dim; ++d) {
      const Vec w = load_part(qkv_weight + static_cast<long>(d) * columns + c, count);
      mean += norm_weight[d] * w;
      offset += norm_bias[d] * w;
    }
    if (qkv_bias != nullptr) offset += load_part(qkv_bias + c, count);
    store_part(column_means + c, mean * inverse, count);
    store_part(shift + c, offset, count);
  }
  for (int k = 0; k < shape.rank; ++k) {
    Vec total = {};
    for (int c = 0; c < shape.dim; c += kLanes) {
      total += load_part(up + static_cast<long>(k) * shape.dim + c, shape.dim - c);
    }
    up_means[k] = sum(total) * inverse;
  }
}

// With H = d loss / d (diag(gamma) W) in d_weight:
//   d_gamma_d = <W_d, H_d>,  d_beta_d = <W_d, d_shift>,  d_W_d = gamma_d H_d + beta_d d_shift
void finish_module(const Shape& shape, const float* norm_weight, const float* norm_bias,
                   const float* qkv_weight, const float* d_shift, float* d_weight,
                   float* d_norm_weight, float* d_norm_bias) {
  const int columns = 3 * shape.rank;
  for (int d = 0; d < shape.dim; ++d) {
    const float* w = qkv_weight + static_cast<long>(d) * columns;
    float* h = d_weight + static_cast<long>(d) * columns;
    Vec of_weight = {}, of_bias = {};
    for (int c = 0; c < columns; c += kLanes) {
      const int count = columns - c;
      const Vec wv = load_part(w + c, count), hv = load_part(h + c, count);
      const Vec shift = load_part(d_shift + c, count);
      of_weight += wv * hv;
      of_bias += wv * shift;
      store_part(h + c, norm_weight[d] * hv + norm_bias[d] * shift, count);
    }
    d_norm_weight[d] = sum(of_weight);
    d_norm_bias[d] = sum(of_bias);
  }
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
