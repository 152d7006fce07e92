#include "common/last/fused/kernels/table.h"
#include "common/last/fused/kernels/vec.h"

// The last module's output x + O A_up is needed pooled only: its branch is one row, forward and
// backward.
namespace last::fused::LAST_ISA_NAMESPACE {

void pool_attended(const Shape& shape, const float* attended, const float* weights,
                   float* sum_out) {
  for (int c = 0; c < shape.rank_stride; c += kLanes) {
    Vec total = {};
    for (int t = 0; t < shape.tokens; ++t) {
      if (weights[t] != 0) total += weights[t] * load(attended + t * shape.rank_stride + c);
    }
    store_part(sum_out + c, total, shape.rank - c > 0 ? shape.rank - c : 0);
  }
}

// pooled += sum A + bias
void add_pooled_branch(const Shape& shape, const float* sum_in, const float* up,
                       const float* up_bias, float* pooled) {
  for (int c = 0; c < shape.dim; c += kLanes) {
    const int count = shape.dim - c;
    Vec total = up_bias == nullptr ? Vec{} : load_part(up_bias + c, count);
    for (int k = 0; k < shape.rank; ++k)
      total += sum_in[k] * load_part(up + k * shape.dim + c, count);
    store(pooled + c, load(pooled + c) + total);
  }
}

// d_O = w (x) (A g), zero beyond the tokens: a product in whole tiles may have left anything there
void pooled_backward(const Shape& shape, const float* weights, const float* up,
                     const float* gradient, float* d_attended) {
  float row[kMaxRankStride] = {};
  for (int k = 0; k < shape.rank; ++k) {
    Vec total = {};
    for (int c = 0; c < shape.dim; c += kLanes) {
      total += load_part(up + k * shape.dim + c, shape.dim - c) * load(gradient + c);
    }
    row[k] = sum(total);
  }
  for (int t = 0; t < shape.lanes; ++t) {
    for (int c = 0; c < shape.rank_stride; c += kLanes) {
      store(d_attended + t * shape.rank_stride + c,
            t < shape.tokens ? weights[t] * load(row + c) : Vec{});
    }
  }
}

void add_outer(const float* left, int rows, const float* right, int cols, bool overwrite,
               float* target) {
  for (int i = 0; i < rows; ++i) {
    for (int c = 0; c < cols; c += kLanes) {
      float* out = target + static_cast<long>(i) * cols + c;
      Vec v = left[i] * load_part(right + c, cols - c);
      if (!overwrite) v += load_part(out, cols - c);
      store_part(out, v, cols - c);
    }
  }
}

void add_block(const float* source, int source_stride, int rows, int cols, bool overwrite,
               float* target, int stride) {
  for (int i = 0; i < rows; ++i) {
    for (int c = 0; c < cols; c += kLanes) {
      float* out = target + static_cast<long>(i) * stride + c;
      Vec v = load(source + i * source_stride + c);
      if (!overwrite) v += load_part(out, cols - c);
      store_part(out, v, cols - c);
    }
  }
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
