#include "common/last/fused/kernels/products.h"
#include "common/last/fused/kernels/table.h"

namespace last::fused::LAST_ISA_NAMESPACE {

// logits = W input + bias
void head_logits(const Shape& shape, const float* input, const float* weight, const float* bias,
                 int classes, float* logits) {
  for (int k = 0; k < classes; ++k) {
    const float* w = weight + static_cast<long>(k) * shape.dim;
    Vec even = {}, odd = {};
    int c = 0;
    for (; c + 2 * kLanes <= shape.dim; c += 2 * kLanes) {
      even += load(w + c) * load(input + c);
      odd += load(w + c + kLanes) * load(input + c + kLanes);
    }
    for (; c < shape.dim; c += kLanes) even += load_part(w + c, shape.dim - c) * load(input + c);
    logits[k] = sum(even + odd) + bias[k];
  }
}

// d_input = W^T d_logits
void head_backward(const Shape& shape, const float* d_logits, const float* weight, int classes,
                   float* d_input) {
  for (int c = 0; c < shape.padded_dim; c += kLanes) store(d_input + c, Vec{});
  for (int k = 0; k < classes; ++k) {
    const float* w = weight + static_cast<long>(k) * shape.dim;
    for (int c = 0; c < shape.dim; c += kLanes) {
      store(d_input + c, load(d_input + c) + d_logits[k] * load_part(w + c, shape.dim - c));
    }
  }
}

// d_W = d_logits^T input
void head_weight_gradient(const Shape& shape, const float* d_logits, int classes_stride,
                          const float* input, int batch, int classes, float* d_weight) {
  for_columns(shape.padded_dim, [&](auto n, int c) {
    constexpr int kN = decltype(n)::value;
    for (int k = 0; k < classes; k += kRows) {
      Vec acc[kRows][kN];
      clear(acc);
      accumulate(acc, d_logits + k, 1, classes_stride, input + c, shape.padded_dim, batch);
      for (int i = 0; i < kRows && k + i < classes; ++i) {
#pragma GCC unroll 16
        for (int j = 0; j < kN; ++j) {
          const int column = c + j * kLanes;
          const int count = shape.dim - column;
          if (count > 0) {
            store_part(d_weight + static_cast<long>(k + i) * shape.dim + column, acc[i][j], count);
          }
        }
      }
    }
  });
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
