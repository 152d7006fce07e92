#include "common/last/fused/kernels/pack.h"
#include "common/last/fused/kernels/products.h"
#include "common/last/fused/kernels/table.h"

namespace last::fused::LAST_ISA_NAMESPACE {
namespace {

// Rows that are taken through all steps of a strip while they are in the first-level cache.
constexpr int kBlock = 64;

// Rows begin..end-1:  D += O A + bias;  x = P - mu + D
// (Shape and arguments by value: stores of vectors can't change those.)
template <bool kBranchIsZero>
void expand(const Shape shape, const ForwardStrip a, const float* up, const float* bias, int begin,
            int end, float* x) {
  for_columns(a.width, [&](auto n, int c) {
    for_rows<kRows>(begin, end, [&](auto r, int row) {
      constexpr int kR = decltype(r)::value, kN = decltype(n)::value;
      Vec acc[kR][kN];
#pragma GCC unroll 16
      for (int i = 0; i < kR; ++i) {
#pragma GCC unroll 16
        for (int j = 0; j < kN; ++j) acc[i][j] = load(bias + c + j * kLanes);
      }
      accumulate(acc, a.attended + row * shape.rank_stride, shape.rank_stride, 1, up + c, a.width,
                 shape.rank);
#pragma GCC unroll 16
      for (int i = 0; i < kR; ++i) {
        const Vec mean = broadcast(a.means[row + i]);
#pragma GCC unroll 16
        for (int j = 0; j < kN; ++j) {
          const int at = (row + i) * a.width + c + j * kLanes;
          const Vec d = kBranchIsZero ? acc[i][j] : load(a.branch + at) + acc[i][j];
          store(a.branch + at, d);
          store(x + at - begin * a.width, (load(a.prefix + at) - mean) + d);
        }
      }
    });
  });
}

// The first module's input: x = P - mu
void center(const ForwardStrip& a, int begin, int end, float* x) {
  for (int row = begin; row < end; ++row) {
    const Vec mean = broadcast(a.means[row]);
    for (int c = 0; c < a.width; c += kLanes) {
      store(x + (row - begin) * a.width + c, load(a.prefix + row * a.width + c) - mean);
    }
  }
}

// squares += x^2, lane by lane
void add_squares(const ForwardStrip& a, int begin, int end, const float* x) {
  for (int row = begin; row < end; ++row) {
    Vec s = a.first ? Vec{} : load(a.squares + row * kLanes);
    for (int c = 0; c < a.width; c += kLanes) {
      const Vec v = load(x + (row - begin) * a.width + c);
      s += v * v;
    }
    store(a.squares + row * kLanes, s);
  }
}

}  // namespace

void forward_strip(const Shape& shape, const ForwardStrip& a) {
  alignas(64) float weight[kStrip * kMaxQkv];
  alignas(64) float up[kMaxRank * kStrip];
  alignas(64) float bias[kStrip];
  alignas(64) float x[kBlock * kStrip];
  pack_qkv(shape, a.width, a.dims, a.qkv_weight, a.norm_weight, a.column_means, weight);
  if (a.attended != nullptr) {
    pack_up(shape, a.width, a.dims, a.up, up);
    pack_bias(a.width, a.dims, a.up_bias, bias);
  }
  for (int begin = 0; begin < shape.rows; begin += kBlock) {
    const int end = begin + kBlock < shape.rows ? begin + kBlock : shape.rows;
    if (a.attended == nullptr) {
      center(a, begin, end, x);
    } else if (a.branch_is_zero) {
      expand<true>(shape, a, up, bias, begin, end, x);
    } else {
      expand<false>(shape, a, up, bias, begin, end, x);
    }
    if (a.dims < a.width) {  // the padding must not count in the variance
      for (int row = 0; row < end - begin; ++row) {
        for (int c = a.dims; c < a.width; ++c) x[row * a.width + c] = 0;
      }
    }
    add_squares(a, begin, end, x);
    // qkv += x Wc
    project(x, a.width, weight, whole_vectors(3 * shape.rank), shape.qkv_stride, a.width, 0,
            end - begin, a.first, a.qkv + begin * shape.qkv_stride);
  }
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
