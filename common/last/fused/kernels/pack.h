#pragma once

#include "common/last/fused/kernels/transpose.h"
#include "common/last/fused/kernels/vec.h"
#include "common/last/fused/shape.h"

// One strip of a module's weights, brought into the layout of the products. Done again for every
// image: two per cent of the time, for no memory that every network would need.
namespace last::fused::LAST_ISA_NAMESPACE {

// out [width, qkv_stride] = gamma_d [A_Q|A_K|A_V]_d - column_means; zero in the padding.
inline void pack_qkv(const Shape& shape, int width, int dims, const float* qkv_weight,
                     const float* norm_weight, const float* column_means, float* out) {
  const int columns = 3 * shape.rank, stride = shape.qkv_stride;
  Vec means[kMaxQkv / kLanes];
  for (int c = 0; c < stride; c += kLanes) {
    means[c / kLanes] = load_part(column_means + c, columns - c);
  }
  // Row after row, as they lie in memory: other networks have pushed them out of the cache.
  for (int d = 0; d < dims; ++d) {
    for (int c = 0; c < stride; c += kLanes) {
      store(out + d * stride + c,
            load_part(qkv_weight + d * columns + c, columns - c) * norm_weight[d] -
                means[c / kLanes]);
    }
  }
  for (int i = dims * stride; i < width * stride; i += kLanes) store(out + i, Vec{});
}

// out [r, width] = A's columns of the strip; zero in the padding. `up` has row length D.
inline void pack_up(const Shape& shape, int width, int dims, const float* up, float* out) {
  for (int k = 0; k < shape.rank; ++k) {
    for (int c = 0; c < width; c += kLanes) {
      store(out + k * width + c, load_part(up + k * shape.dim + c, dims - c));
    }
  }
}

// out [width], zeros without a bias
inline void pack_bias(int width, int dims, const float* bias, float* out) {
  for (int c = 0; c < width; c += kLanes) {
    store(out + c, bias == nullptr ? Vec{} : load_part(bias + c, dims - c));
  }
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
