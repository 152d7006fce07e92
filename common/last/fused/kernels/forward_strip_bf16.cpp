#include "common/last/fused/kernels/pack.h"
#include "common/last/fused/kernels/table.h"
#include "common/last/fused/kernels/tiles.h"

// forward_strip.cpp with bf16 products; sums, statistics and D stay in fp32.
namespace last::fused::LAST_ISA_NAMESPACE {
namespace {

constexpr int kBlock = 64;  // rows at a time
constexpr int kDepth = 64;  // a strip's columns as the inner axis of a product

// D += branch + bias (branch [rows, 48]);  x = P - mu + D, in bf16 rows;  squares += x^2
template <bool kWithBranch, bool kBranchIsZero>
void add_branch(const ForwardStrip& a, const float* branch, const float* bias, int begin, int end,
                uint16_t* x_rows) {
  for (int row = begin; row < end; ++row) {
    const Vec mean = broadcast(a.means[row]);
    Vec squares = a.first ? Vec{} : load(a.squares + row * kLanes);
    // The padding's columns hold -mu: they must not count in the variance, nor in products.
    const auto x = [&](int c) {
      if (c >= a.width) return Vec{};
      const int at = row * a.width + c;
      Vec v = load(a.prefix + at) - mean;
      if constexpr (kWithBranch) {
        Vec d = load(branch + (row - begin) * kStrip + c) + load(bias + c);
        if constexpr (!kBranchIsZero) d += load(a.branch + at);
        store(a.branch + at, d);
        v += d;
      }
      v = _mm512_maskz_mov_ps(first_lanes(a.dims - c), v);
      squares += v * v;
      return v;
    };
    for (int c = 0; c < a.width; c += 32) {
      const Vec low = x(c);
      _mm512_storeu_si512(x_rows + (row - begin) * kDepth + c, to_bfloat16(low, x(c + 16)));
    }
    store(a.squares + row * kLanes, squares);
  }
}

}  // namespace

void forward_strip(const Shape& shape, const ForwardStrip& a) {
  alignas(64) float weight[kStrip * kMaxQkv];
  alignas(64) float up[kMaxRankStride * kStrip];
  alignas(64) float bias[kStrip];
  alignas(64) uint16_t weight_pairs[kDepth * kMaxQkv];
  alignas(64) uint16_t up_pairs[kMaxRankStride * kStrip];
  alignas(64) uint16_t o_rows[kBlock * kMaxRankStride];
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
    if (a.attended == nullptr) {
      add_branch<false, false>(a, nullptr, nullptr, begin, end, x_rows);
    } else if (a.branch_is_zero) {
      add_branch<true, true>(a, branch, bias, begin, end, x_rows);
    } else {
      add_branch<true, false>(a, branch, bias, begin, end, x_rows);
    }
    for (int i = (end - begin) * kDepth; i < 16 * tiles * kDepth; ++i) x_rows[i] = 0;
    // qkv += x Wc
    multiply(x_rows, kDepth, tiles, weight_pairs, 2 * shape.qkv_stride, shape.qkv_stride / 16,
             round_up(a.width, 32) / 32, a.first, a.qkv + begin * shape.qkv_stride,
             shape.qkv_stride);
  }
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
