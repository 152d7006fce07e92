#include "common/last/fused/kernels/pack.h"
#include "common/last/fused/kernels/products.h"
#include "common/last/fused/kernels/row_products.h"
#include "common/last/fused/kernels/table.h"

namespace last::fused::LAST_ISA_NAMESPACE {
namespace {

// Rows that are taken through all steps of a strip while they are in the first-level cache.
constexpr int kBlock = 64;
constexpr int kNarrow = 4;  // ranks for which d_O is made of sums over lanes

// Rows begin..end-1 of the module's input again:  D -= O A + bias;  x = P - mu + D
// (Shape and arguments by value: stores of vectors can't change those.)
void rebuild(const Shape shape, const BackwardStrip a, const float* up, const float* bias,
             int begin, int end, float* x) {
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
          const Vec d = load(a.branch + at) - acc[i][j];
          store(a.branch + at, d);
          store(x + at - begin * a.width, (load(a.prefix + at) - mean) + d);
        }
      }
    });
  });
}

// x = P - mu (+ D)
template <bool kWithBranch>
void center(const BackwardStrip& a, int begin, int end, float* x) {
  for (int row = begin; row < end; ++row) {
    const Vec mean = broadcast(a.means[row]);
    for (int c = 0; c < a.width; c += kLanes) {
      const int at = row * a.width + c;
      Vec v = load(a.prefix + at) - mean;
      if constexpr (kWithBranch) v += load(a.branch + at);
      store(x + at - begin * a.width, v);
    }
  }
}

// LayerNorm and projections backwards:  G += E Wc^T - c x
// In the crossed form:  G -= c x
template <bool kPooled, bool kCrossed>
void add_stream_gradient(const Shape shape, const BackwardStrip a, const float* weight_t,
                         const float* pool_gradient, int begin, int end, const float* x) {
  for_columns(a.width, [&](auto n, int c) {
    for_rows<kRows>(begin, end, [&](auto r, int row) {
      constexpr int kR = decltype(r)::value, kN = decltype(n)::value;
      Vec acc[kR][kN];
      clear(acc);
      if constexpr (!kCrossed) {
        accumulate(acc, a.d_qkv + row * shape.qkv_stride, shape.qkv_stride, 1, weight_t + c, kStrip,
                   3 * shape.rank);
      }
#pragma GCC unroll 16
      for (int i = 0; i < kR; ++i) {
        const Vec factor = broadcast(a.input_factors[row + i]);
        const Vec weight = kPooled ? broadcast(a.pool_weights[row + i]) : Vec{};
#pragma GCC unroll 16
        for (int j = 0; j < kN; ++j) {
          const int at = (row + i) * a.width + c + j * kLanes;
          const Vec g = kPooled ? weight * load(pool_gradient + c + j * kLanes)
                                : load(a.stream_gradient + at);
          store(a.stream_gradient + at, (g + acc[i][j]) - factor * load(x + at - begin * a.width));
        }
      }
    });
  });
}

void add_rows(const float* tile, int width, int begin, int end, bool overwrite, float* sums) {
  for (int c = 0; c < width; c += kLanes) {
    Vec s = {};
    for (int row = begin; row < end; ++row) s += load(tile + row * width + c);
    store(sums + c, overwrite ? s : load(sums + c) + s);
  }
}

}  // namespace

void backward_strip(const Shape& shape, const BackwardStrip& a) {
  alignas(64) float weight[kStrip * kMaxQkv];
  alignas(64) float weight_t[kMaxQkv * kStrip];
  alignas(64) float up[kMaxRankStride * kStrip];
  alignas(64) float previous_up[kMaxRankStride * kStrip];
  alignas(64) float previous_up_t[kStrip * kMaxRankStride];
  alignas(64) float bias[kStrip];
  alignas(64) float pool_gradient[kStrip];
  alignas(64) float x[kBlock * kStrip];
  alignas(64) float d_weight_t[kMaxQkv * kStrip];  // [qkv_stride, 48]
  const bool has_previous = a.previous_attended != nullptr;
  const bool narrow = shape.rank <= kNarrow;
  const int rank4 = (shape.rank + 3) / 4 * 4, qkv4 = (3 * shape.rank + 3) / 4 * 4;
  if (a.branch_mode == BackwardStrip::Branch::kRebuild) {
    pack_up(shape, a.width, a.dims, a.up, up);
    pack_bias(a.width, a.dims, a.up_bias, bias);
  }
  if (has_previous && !a.crossed) {
    pack_qkv(shape, a.width, a.dims, a.qkv_weight, a.norm_weight, a.column_means, weight);
    transpose(weight, shape.qkv_stride, a.width, 3 * shape.rank, 1, weight_t, kStrip);
  }
  if (has_previous) {
    // Rows of previous_up beyond r are read into columns that nobody uses.
    pack_up(shape, a.width, a.dims, a.previous_up, previous_up);
    for (int i = shape.rank * a.width; i < shape.rank_stride * a.width; ++i) previous_up[i] = 0;
    if (!narrow) {
      transpose_back(previous_up, a.width, a.width, shape.rank_stride, 1, previous_up_t,
                     shape.rank_stride);
    }
    if (a.pool_gradient != nullptr) pack_bias(a.width, a.dims, a.pool_gradient, pool_gradient);
  }
  for (int begin = 0; begin < shape.rows; begin += kBlock) {
    const int end = begin + kBlock < shape.rows ? begin + kBlock : shape.rows;
    const bool first = begin == 0;
    switch (a.branch_mode) {
      case BackwardStrip::Branch::kZero:
        center<false>(a, begin, end, x);
        break;
      case BackwardStrip::Branch::kKeep:
        center<true>(a, begin, end, x);
        break;
      case BackwardStrip::Branch::kRebuild:
        rebuild(shape, a, up, bias, begin, end, x);
        break;
    }
    // d loss / d (diag(gamma) A) = x-hat^T d_y = x^T E, transposed
    outer<kRows>(a.d_qkv + begin * shape.qkv_stride, shape.qkv_stride, qkv4, x, a.width, a.width, 0,
                 end - begin, first, d_weight_t, kStrip);
    if (!has_previous) continue;
    const auto add = a.crossed ? (a.pool_gradient != nullptr ? add_stream_gradient<true, true>
                                                             : add_stream_gradient<false, true>)
                               : (a.pool_gradient != nullptr ? add_stream_gradient<true, false>
                                                             : add_stream_gradient<false, false>);
    add(shape, a, weight_t, pool_gradient, begin, end, x);
    // The output of module j - 1, x + O A_up:  d_up = O^T G,  d_O = G A_up^T
    outer<kRows>(a.previous_attended, shape.rank_stride, rank4, a.stream_gradient, a.width, a.width,
                 begin, end, first, a.d_up, kStrip);
    if (a.d_up_bias != nullptr) {
      add_rows(a.stream_gradient, a.width, begin, end, first, a.d_up_bias);
    }
    if (narrow) {
      for (int row = begin; row < end; row += 4) {
        multiply_rows(a.stream_gradient + row * a.width, a.width, previous_up, a.width, kNarrow,
                      a.width, 1, a.first, a.d_attended + row * shape.rank_stride,
                      shape.rank_stride);
      }
    } else {
      project(a.stream_gradient, a.width, previous_up_t, whole_vectors(shape.rank),
              shape.rank_stride, a.width, begin, end, a.first, a.d_attended);
    }
  }
  transpose(d_weight_t, kStrip, shape.qkv_stride, a.width, 1, a.d_qkv_weight, shape.qkv_stride);
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
