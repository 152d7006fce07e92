#include "common/last/fused/kernels/pack.h"
#include "common/last/fused/kernels/table.h"
#include "common/last/fused/kernels/tiles.h"

// backward_strip.cpp with bf16 products; sums and the streams D and G stay in fp32.
namespace last::fused::LAST_ISA_NAMESPACE {
namespace {

constexpr int kBlock = 64;  // rows at a time
constexpr int kDepth = 64;  // a strip's columns as the inner axis of a product

// What all strips of a module share, in bf16: made with the first one.
struct Rows {
  Rows(const Shape& shape, void* scratch)
      : tokens(round_up(shape.rows, kBlock)),
        qkv_depth(round_up(shape.qkv_stride, 32)),
        rank_depth(round_up(shape.rank_stride, 32)),
        e(static_cast<uint16_t*>(scratch)),
        o(e + static_cast<long>(tokens) * qkv_depth),
        e_t(o + static_cast<long>(tokens) * rank_depth),
        previous_o_t(e_t + static_cast<long>(tokens) * shape.qkv_stride),
        wide(reinterpret_cast<float*>(previous_o_t +
                                      static_cast<long>(tokens) * shape.rank_stride)) {}

  int tokens, qkv_depth, rank_depth;
  uint16_t* e;             // E [tokens, qkv_depth]
  uint16_t* o;             // O_j [tokens, rank_depth]
  uint16_t* e_t;           // E^T [qkv_stride, tokens]
  uint16_t* previous_o_t;  // O_{j-1}^T [rank_stride, tokens]
  float* wide;             // for transposing [qkv_stride, tokens]
};

// in [lanes, columns] -> bf16 [columns, tokens], zero from `lanes` on
void to_transposed_rows(const Shape& shape, const Rows& rows, const float* in, int columns,
                        uint16_t* out) {
  transpose(in, columns, shape.lanes, columns, 1, rows.wide, rows.tokens);
  for (int c = 0; c < columns; ++c) {
    for (int t = shape.lanes; t < rows.tokens; ++t) rows.wide[c * rows.tokens + t] = 0;
  }
  to_rows(rows.wide, rows.tokens, columns, rows.tokens, out, rows.tokens);
}

void prepare(const Shape& shape, const BackwardStrip& a, const Rows& rows) {
  to_rows(a.d_qkv, shape.qkv_stride, shape.lanes, shape.qkv_stride, rows.e, rows.qkv_depth);
  to_rows(a.attended, shape.rank_stride, shape.lanes, shape.rank_stride, rows.o, rows.rank_depth);
  to_transposed_rows(shape, rows, a.d_qkv, shape.qkv_stride, rows.e_t);
  if (a.previous_attended != nullptr) {
    to_transposed_rows(shape, rows, a.previous_attended, shape.rank_stride, rows.previous_o_t);
  }
}

// Rows begin..end-1, W vectors wide, for O A in `product` [rows, 48]:
//   D -= O A + bias (kRebuild);  x = P - mu + D, also in bf16 pairs of rows
// (Arguments by value: stores of vectors can't change those.)
template <BackwardStrip::Branch kMode, int W>
void remove_branch(const BackwardStrip a, const float* product, const float* bias, int begin,
                   int end, float* x, uint16_t* pairs) {
  Vec bias_of[W];
#pragma GCC unroll 3
  for (int j = 0; j < W; ++j) {
    bias_of[j] = kMode == BackwardStrip::Branch::kRebuild ? load(bias + j * kLanes) : Vec{};
  }
  for (int row = begin; row < end; row += 2) {
    const Vec means[2] = {broadcast(a.means[row]), broadcast(a.means[row + 1])};
#pragma GCC unroll 3
    for (int j = 0; j < W; ++j) {
      Vec v[2];
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
        const int at = ((row + i) * W + j) * kLanes;
        const int in_block = (row + i - begin) * kStrip + j * kLanes;
        v[i] = load(a.prefix + at) - means[i];
        if constexpr (kMode != BackwardStrip::Branch::kZero) {
          Vec d = load(a.branch + at);
          if constexpr (kMode == BackwardStrip::Branch::kRebuild) {
            d -= load(product + in_block) + bias_of[j];
            store(a.branch + at, d);
          }
          v[i] += d;
        }
        store(x + in_block, v[i]);
      }
      store_pairs(pairs + ((row - begin) * W + 2 * j) * kLanes, v[0], v[1]);
    }
  }
}

template <int W>
void remove_branch(const BackwardStrip& a, const float* product, const float* bias, int begin,
                   int end, float* x, uint16_t* pairs) {
  switch (a.branch_mode) {
    case BackwardStrip::Branch::kZero:
      return remove_branch<BackwardStrip::Branch::kZero, W>(a, nullptr, nullptr, begin, end, x,
                                                            pairs);
    case BackwardStrip::Branch::kKeep:
      return remove_branch<BackwardStrip::Branch::kKeep, W>(a, nullptr, nullptr, begin, end, x,
                                                            pairs);
    case BackwardStrip::Branch::kRebuild:
      return remove_branch<BackwardStrip::Branch::kRebuild, W>(a, product, bias, begin, end, x,
                                                               pairs);
  }
}

// G += E Wc^T - c x, the product being in `product` [rows, 48]; G also in bf16 rows and pairs.
template <bool kPooled, int W>
void add_stream_gradient(const BackwardStrip a, const float* product, const float* pool_gradient,
                         const float* x, int begin, int end, uint16_t* g_rows, uint16_t* g_pairs) {
  Vec pooled[W];
#pragma GCC unroll 3
  for (int j = 0; j < W; ++j) pooled[j] = kPooled ? load(pool_gradient + j * kLanes) : Vec{};
  for (int row = begin; row < end; row += 2) {
    Vec g[2][W + 1] = {};
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      const Vec factor = broadcast(a.input_factors[row + i]);
      const Vec weight = kPooled ? broadcast(a.pool_weights[row + i]) : Vec{};
#pragma GCC unroll 3
      for (int j = 0; j < W; ++j) {
        const int in_block = (row + i - begin) * kStrip + j * kLanes;
        float* stream = a.stream_gradient + ((row + i) * W + j) * kLanes;
        const Vec before = kPooled ? weight * pooled[j] : load(stream);
        g[i][j] = (before + load(product + in_block)) - factor * load(x + in_block);
        store(stream, g[i][j]);
      }
#pragma GCC unroll 2
      for (int j = 0; j < W; j += 2) {
        _mm512_storeu_si512(g_rows + (row + i - begin) * kDepth + j * kLanes,
                            to_bfloat16(g[i][j], g[i][j + 1]));
      }
    }
#pragma GCC unroll 3
    for (int j = 0; j < W; ++j) {
      store_pairs(g_pairs + ((row - begin) * W + 2 * j) * kLanes, g[0][j], g[1][j]);
    }
  }
}

void add_rows(const BackwardStrip& a, int begin, int end, bool overwrite, float* sums) {
  for (int c = 0; c < a.width; c += kLanes) {
    Vec s = overwrite ? Vec{} : load(sums + c);
    for (int row = begin; row < end; ++row) s += load(a.stream_gradient + row * a.width + c);
    store(sums + c, s);
  }
}

void clear_rows(uint16_t* matrix, int stride, int begin, int end) {
  for (int i = begin * stride; i < end * stride; ++i) matrix[i] = 0;
}

}  // namespace

void backward_strip(const Shape& shape, const BackwardStrip& a) {
  alignas(64) float weight[kStrip * kMaxQkv];
  alignas(64) float weight_t[kMaxQkv * kStrip];
  alignas(64) float up[kMaxRank * kStrip];
  alignas(64) float up_t[kStrip * kMaxRank];
  alignas(64) float bias[kStrip];
  alignas(64) float pool_gradient[kStrip];
  alignas(64) float x[kBlock * kStrip];
  alignas(64) float product[kBlock * kStrip];
  alignas(64) float d_weight_t[kMaxQkv * kStrip];
  alignas(64) uint16_t up_pairs[kMaxRank * kStrip];
  alignas(64) uint16_t weight_t_pairs[kMaxQkv * kStrip];
  alignas(64) uint16_t up_t_pairs[kDepth * kMaxRank];
  alignas(64) uint16_t pairs[kBlock * kStrip];
  alignas(64) uint16_t g_rows[kBlock * kDepth] = {};
  const TileUnit unit;
  const Rows rows(shape, a.scratch);
  const int columns = a.width / 16, qkv_tiles = shape.qkv_stride / 16;
  const int rank_tiles = shape.rank_stride / 16;
  const bool has_previous = a.previous_attended != nullptr;
  if (a.first) prepare(shape, a, rows);
  if (a.branch_mode == BackwardStrip::Branch::kRebuild) {
    pack_up(shape, a.width, a.dims, a.up, up);
    pack_bias(a.width, a.dims, a.up_bias, bias);
    to_pairs(up, a.width, shape.rank, a.width, up_pairs);
  }
  if (has_previous) {
    pack_qkv(shape, a.width, a.dims, a.qkv_weight, a.norm_weight, a.column_means, weight);
    transpose(weight, shape.qkv_stride, a.width, shape.qkv_stride, 1, weight_t, kStrip);
    to_pairs(weight_t, kStrip, shape.qkv_stride, a.width, weight_t_pairs);
    pack_up(shape, a.width, a.dims, a.previous_up, up);
    for (int i = shape.rank * a.width; i < shape.rank_stride * a.width; ++i) up[i] = 0;
    transpose_back(up, a.width, a.width, shape.rank_stride, 1, up_t, shape.rank_stride);
    to_pairs(up_t, shape.rank_stride, a.width, shape.rank_stride, up_t_pairs);
    if (a.pool_gradient != nullptr) pack_bias(a.width, a.dims, a.pool_gradient, pool_gradient);
  }
  for (int begin = 0; begin < shape.rows; begin += kBlock) {
    const int end = begin + kBlock < shape.rows ? begin + kBlock : shape.rows;
    const int tiles = (end - begin + 15) / 16;
    const bool first = begin == 0;
    if (a.branch_mode == BackwardStrip::Branch::kRebuild) {
      multiply(rows.o + static_cast<long>(begin) * rows.rank_depth, rows.rank_depth, tiles,
               up_pairs, 2 * a.width, columns, round_up(shape.rank, 32) / 32, true, product,
               kStrip);
    }
    for_width(a.width, [&](auto w) {
      remove_branch<decltype(w)::value>(a, product, bias, begin, end, x, pairs);
    });
    clear_rows(pairs, a.width, end - begin, kBlock);
    // d loss / d (diag(gamma) A) = x^T E, transposed
    multiply(rows.e_t + begin, rows.tokens, qkv_tiles, pairs, 2 * a.width, columns, kBlock / 32,
             first, d_weight_t, kStrip);
    if (!has_previous) continue;
    // G += E Wc^T - c x
    multiply(rows.e + static_cast<long>(begin) * rows.qkv_depth, rows.qkv_depth, tiles,
             weight_t_pairs, 2 * a.width, columns, rows.qkv_depth / 32, true, product, kStrip);
    for_width(a.width, [&](auto w) {
      const auto add = a.pool_gradient != nullptr ? add_stream_gradient<true, decltype(w)::value>
                                                  : add_stream_gradient<false, decltype(w)::value>;
      add(a, product, pool_gradient, x, begin, end, g_rows, pairs);
    });
    clear_rows(g_rows, kDepth, end - begin, kBlock);
    // d_up = O^T G,  d_O = G A_up^T
    multiply(rows.previous_o_t + begin, rows.tokens, rank_tiles, pairs, 2 * a.width, columns,
             kBlock / 32, first, a.d_up, kStrip);
    if (a.d_up_bias != nullptr) add_rows(a, begin, end, first, a.d_up_bias);
    multiply(g_rows, kDepth, tiles, up_t_pairs, 2 * shape.rank_stride, rank_tiles,
             round_up(a.width, 32) / 32, a.first, a.d_attended + begin * shape.rank_stride,
             shape.rank_stride);
  }
  transpose(d_weight_t, kStrip, shape.qkv_stride, a.width, 1, a.d_qkv_weight, shape.qkv_stride);
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
