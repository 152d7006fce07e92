#include "common/last/fused/kernels/pack.h"
#include "common/last/fused/kernels/table.h"
#include "common/last/fused/kernels/tiles.h"

// forward_strip.cpp with bf16 products; sums, statistics and D stay in fp32.
namespace last::fused::LAST_ISA_NAMESPACE {
namespace {

constexpr int kBlock = 64;  // rows at a time
constexpr int kDepth = 64;  // a strip's columns as the inner axis of a product

// What a strip has before the module: nothing (the first one), D = O A + bias, or D += O A + bias.
enum class Branch { kNone, kFirst, kMore };

// Rows begin..end-1, W vectors wide, for O A in `product` [rows, 48]:
//   D += O A + bias;  x = P - mu + D, in bf16 rows;  squares += x^2
// (Arguments by value: stores of vectors can't change those.)
template <Branch kBranch, int W>
void add_branch(const ForwardStrip a, const float* product, const float* bias, int begin, int end,
                uint16_t* x_rows) {
  Vec bias_of[W];
  __mmask16 columns[W];  // the padding's hold -mu: they must not count in the variance
#pragma GCC unroll 3
  for (int j = 0; j < W; ++j) {
    bias_of[j] = kBranch == Branch::kNone ? Vec{} : load(bias + j * kLanes);
    columns[j] = first_lanes(a.dims - j * kLanes);
  }
  for (int row = begin; row < end; ++row) {
    const Vec mean = broadcast(a.means[row]);
    Vec squares = a.first ? Vec{} : load(a.squares + row * kLanes);
    Vec x[W + 1] = {};
#pragma GCC unroll 3
    for (int j = 0; j < W; ++j) {
      const int at = (row * W + j) * kLanes;
      Vec v = load(a.prefix + at) - mean;
      if constexpr (kBranch != Branch::kNone) {
        Vec d = load(product + (row - begin) * kStrip + j * kLanes) + bias_of[j];
        if constexpr (kBranch == Branch::kMore) d += load(a.branch + at);
        store(a.branch + at, d);
        v += d;
      }
      x[j] = _mm512_maskz_mov_ps(columns[j], v);
      squares += x[j] * x[j];
    }
#pragma GCC unroll 2
    for (int j = 0; j < W; j += 2) {
      _mm512_storeu_si512(x_rows + (row - begin) * kDepth + j * kLanes,
                          to_bfloat16(x[j], x[j + 1]));
    }
    store(a.squares + row * kLanes, squares);
  }
}

template <int W>
void add_branch(const ForwardStrip& a, const float* product, const float* bias, int begin, int end,
                uint16_t* x_rows) {
  if (a.attended == nullptr) {
    add_branch<Branch::kNone, W>(a, nullptr, nullptr, begin, end, x_rows);
  } else if (a.branch_is_zero) {
    add_branch<Branch::kFirst, W>(a, product, bias, begin, end, x_rows);
  } else {
    add_branch<Branch::kMore, W>(a, product, bias, begin, end, x_rows);
  }
}

}  // namespace

void forward_strip(const Shape& shape, const ForwardStrip& a) {
  alignas(64) float weight[kStrip * kMaxQkv];
  alignas(64) float up[kMaxRank * kStrip];
  alignas(64) float bias[kStrip];
  alignas(64) uint16_t weight_pairs[kDepth * kMaxQkv];
  alignas(64) uint16_t up_pairs[kMaxRank * kStrip];
  alignas(64) uint16_t o_rows[kBlock * kMaxRank];
  alignas(64) uint16_t x_rows[kBlock * kDepth] = {};
  alignas(64) float branch[kBlock * kStrip];
  const TileUnit unit;
  pack_qkv(shape, a.width, a.dims, a.qkv_weight, a.norm_weight, a.column_means, weight);
  to_pairs(weight, shape.qkv_stride, a.width, shape.qkv_stride, weight_pairs);
  if (a.attended != nullptr) {
    pack_up(shape, a.width, a.dims, a.up, up);
    pack_bias(a.width, a.dims, a.up_bias, bias);
    to_pairs(up, a.width, shape.rank, a.width, up_pairs);
  }
  const int rank_depth = round_up(shape.rank_stride, 32);
  for (int begin = 0; begin < shape.rows; begin += kBlock) {
    const int end = begin + kBlock < shape.rows ? begin + kBlock : shape.rows;
    const int tiles = (end - begin + 15) / 16;
    if (a.attended != nullptr) {
      to_rows(a.attended + begin * shape.rank_stride, shape.rank_stride, 16 * tiles,
              shape.rank_stride, o_rows, rank_depth);
      multiply(o_rows, rank_depth, tiles, up_pairs, 2 * a.width, a.width / 16,
               round_up(shape.rank, 32) / 32, true, branch, kStrip);
    }
    for_width(a.width,
              [&](auto w) { add_branch<decltype(w)::value>(a, branch, bias, begin, end, x_rows); });
    for (int i = (end - begin) * kDepth; i < 16 * tiles * kDepth; ++i) x_rows[i] = 0;
    // qkv += x Wc
    multiply(x_rows, kDepth, tiles, weight_pairs, 2 * shape.qkv_stride, shape.qkv_stride / 16,
             round_up(a.width, 32) / 32, a.first, a.qkv + begin * shape.qkv_stride,
             shape.qkv_stride);
  }
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
