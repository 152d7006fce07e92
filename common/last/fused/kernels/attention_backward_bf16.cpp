#include "common/last/fused/kernels/attention_bf16.h"
#include "common/last/fused/kernels/table.h"

// attention_backward.cpp with bf16 products: q, k, v, d_o, p and ds are rounded, sums and
// exponentials are fp32. Blocks of 32 queries and 64 keys.
namespace last::fused::LAST_ISA_NAMESPACE {
namespace {

constexpr int kQueries = 32;
constexpr int kKeys = 64;

struct Head {
  Head(const Shape& shape, const AttentionBackward& a, int head, int query_rows)
      : sizes(shape), log_sum(a.log_sum + head * shape.lanes) {
    Scratch scratch(a.scratch);
    const int c = head * shape.head_dim, d = shape.head_dim, lanes = shape.lanes;
    const long rows_size = static_cast<long>(sizes.tokens) * sizes.depth;
    const long pairs_size = static_cast<long>(sizes.depth) * lanes;
    const long transposed_size = static_cast<long>(sizes.channels) * sizes.tokens;
    const float* q_in = a.qkv + c;
    const float* k_in = a.qkv + shape.rank + c;
    const float* v_in = a.qkv + 2 * shape.rank + c;
    const float* d_o_in = a.d_attended + c;
    float* wide = scratch.floats(static_cast<long>(sizes.channels) * lanes);
    q = scratch.halves(rows_size);
    head_rows(shape, sizes, q_in, shape.qkv_stride, shape.tokens, q);
    d_o = scratch.halves(rows_size);
    head_rows(shape, sizes, d_o_in, shape.rank_stride, query_rows, d_o);
    k_pairs_t = scratch.halves(pairs_size);
    transpose(k_in, shape.qkv_stride, lanes, d, 1, wide, lanes);
    to_pairs(wide, lanes, d, lanes, k_pairs_t);
    v_pairs_t = scratch.halves(pairs_size);
    transpose(v_in, shape.qkv_stride, lanes, d, 1, wide, lanes);
    to_pairs(wide, lanes, d, lanes, v_pairs_t);
    q_t = scratch.halves(transposed_size);
    transpose(q_in, shape.qkv_stride, lanes, d, 1, wide, lanes);
    to_rows(wide, lanes, sizes.channels, lanes, q_t, sizes.tokens);
    d_o_t = scratch.halves(transposed_size);
    transpose(d_o_in, shape.rank_stride, lanes, d, 1, wide, lanes);
    to_rows(wide, lanes, sizes.channels, lanes, d_o_t, sizes.tokens);
    k_pairs = scratch.halves(transposed_size);
    to_pairs(k_in, shape.qkv_stride, shape.tokens, sizes.channels, k_pairs);
    d_k_t = scratch.floats(static_cast<long>(sizes.channels) * lanes);
    d_v_t = scratch.floats(static_cast<long>(sizes.channels) * lanes);
    delta = scratch.floats(lanes);
    for (int t = 0; t < lanes; t += kLanes) {
      Vec products[kLanes] = {};
      for (int i = 0; i < kLanes && t + i < query_rows; ++i) {
        for (int j = 0; j < d; j += kLanes) {
          const long at = static_cast<long>(t + i) * shape.rank_stride + c + j;
          products[i] += load_part(a.d_attended + at, d - j) * load_part(a.attended + at, d - j);
        }
      }
      store(delta + t, sums(products));
    }
  }

  HeadSizes sizes;
  const float* log_sum;  // [lanes]
  uint16_t* q;           // [tokens, depth]
  uint16_t* d_o;         // [tokens, depth]
  uint16_t* k_pairs_t;   // [depth / 2, lanes, 2]
  uint16_t* v_pairs_t;
  uint16_t* q_t;  // [channels, tokens]
  uint16_t* d_o_t;
  uint16_t* k_pairs;  // [tokens / 2, channels, 2]
  float* d_k_t;       // [channels, lanes]
  float* d_v_t;
  float* delta;  // [lanes] <d_o, o>
};

// One block's p and ds, in the layouts of the products they enter.
struct Block {
  alignas(64) float s[kQueries * kKeys];
  alignas(64) float d_p[kQueries * kKeys];
  alignas(64) uint16_t p_pairs[kQueries * kKeys];  // [queries / 2, keys, 2]
  alignas(64) uint16_t ds_pairs[kQueries * kKeys];
  alignas(64) uint16_t ds[kQueries * kKeys];  // [queries, keys]
};

// For two queries and 32 keys, of which `count` exist:
//   p = 2^(s - log_sum),  ds = p (d_p - delta)
template <bool kAll>
[[gnu::always_inline]] inline void probabilities(Block& block, int row, int column, float scale,
                                                 const Vec (&log_sum)[2], const Vec (&delta)[2],
                                                 int count) {
  Vec p[2][2], ds[2][2];
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      const int at = (row + i) * kKeys + column + j * kLanes;
      p[i][j] = load(block.s + at) * scale - log_sum[i];
    }
  }
  exp2(reinterpret_cast<Vec(&)[4]>(p));
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      const int at = (row + i) * kKeys + column + j * kLanes;
      ds[i][j] = p[i][j] * (load(block.d_p + at) - delta[i]);
      if constexpr (!kAll) {
        const __mmask16 keys = first_lanes(count - j * kLanes);
        p[i][j] = _mm512_maskz_mov_ps(keys, p[i][j]);
        ds[i][j] = _mm512_maskz_mov_ps(keys, ds[i][j]);
      }
    }
  }
  const int pairs = row * kKeys + 2 * column;
#pragma GCC unroll 2
  for (int j = 0; j < 2; ++j) {
    store_pairs(block.p_pairs + pairs + 2 * j * kLanes, p[0][j], p[1][j]);
    store_pairs(block.ds_pairs + pairs + 2 * j * kLanes, ds[0][j], ds[1][j]);
    _mm512_storeu_si512(block.ds + (row + j) * kKeys + column, to_bfloat16(ds[j][0], ds[j][1]));
  }
}

// Rows of queries and `columns` columns of keys, of which `count` exist; zero beyond.
template <bool kAll>
void fill(const Head& head, Block& block, int query, int rows, int columns, int count,
          float scale) {
  for (int row = 0; row < rows; row += 2) {
    const float* log_sum = head.log_sum + query + row;
    const float* delta = head.delta + query + row;
    const Vec log_sums[2] = {broadcast(log_sum[0]), broadcast(log_sum[1])};
    const Vec deltas[2] = {broadcast(delta[0]), broadcast(delta[1])};
    for (int c = 0; c < columns; c += 32) {
      probabilities<kAll>(block, row, c, scale, log_sums, deltas, count - c);
    }
  }
  for (int i = rows * kKeys; i < kQueries * kKeys; ++i) block.p_pairs[i] = block.ds_pairs[i] = 0;
}

// The queries from `query` on: their share of d_k_t and d_v_t, all of d_q.
void add_queries(const Shape& shape, const Head& head, int query, int rows, float scale,
                 float* d_q) {
  Block block;
  const HeadSizes& sizes = head.sizes;
  const int tiles = rows / 16, channels = sizes.channels;
  const long at = static_cast<long>(query) * sizes.depth;
  for (int key = 0; key < shape.lanes; key += kKeys) {
    const int columns = shape.lanes - key < kKeys ? shape.lanes - key : kKeys;
    const int depth_tiles = sizes.depth / 32, column_tiles = columns / 16;
    // S = Q K^T,  dP = dO V^T
    multiply(head.q + at, sizes.depth, tiles, head.k_pairs_t + 2 * key, 2 * shape.lanes,
             column_tiles, depth_tiles, true, block.s, kKeys);
    multiply(head.d_o + at, sizes.depth, tiles, head.v_pairs_t + 2 * key, 2 * shape.lanes,
             column_tiles, depth_tiles, true, block.d_p, kKeys);
    const int count = shape.tokens - key;
    if (count >= kKeys) {
      fill<true>(head, block, query, rows, columns, count, scale);
    } else {
      fill<false>(head, block, query, rows, columns, count, scale);
    }
    // dV = P^T dO,  dK = dS^T Q,  dQ = dS K
    multiply(head.d_o_t + query, sizes.tokens, channels / 16, block.p_pairs, 2 * kKeys,
             column_tiles, 1, query == 0, head.d_v_t + key, shape.lanes);
    multiply(head.q_t + query, sizes.tokens, channels / 16, block.ds_pairs, 2 * kKeys, column_tiles,
             1, query == 0, head.d_k_t + key, shape.lanes);
    multiply(block.ds, kKeys, tiles, head.k_pairs + static_cast<long>(key) * channels, 2 * channels,
             channels / 16, round_up(columns, 32) / 32, key == 0, d_q, channels);
  }
}

}  // namespace

void attention_backward_bf16(const Shape& shape, const AttentionBackward& a) {
  const TileUnit unit;
  const int query_rows = round_up(a.query_rows, 16);
  const float scale = 1.f / __builtin_sqrtf(static_cast<float>(shape.head_dim));
  alignas(64) float d_q[kQueries * kMaxRank];
  for (int h = 0; h < shape.heads; ++h) {
    const Head head(shape, a, h, a.query_rows);
    float* d_qkv = a.d_qkv + h * shape.head_dim;
    for (int query = 0; query < shape.lanes; query += kQueries) {
      const int rows = shape.lanes - query < kQueries ? shape.lanes - query : kQueries;
      const int wanted = query_rows - query < rows ? query_rows - query : rows;
      if (wanted > 0) {
        add_queries(shape, head, query, wanted, scale * 1.442695041f, d_q);
      }
      for (int i = 0; i < rows; ++i) {
        for (int c = 0; c < shape.head_dim; c += kLanes) {
          const Vec v = i < wanted ? load(d_q + i * head.sizes.channels + c) * scale : Vec{};
          store_part(d_qkv + static_cast<long>(query + i) * shape.qkv_stride + c, v,
                     shape.head_dim - c);
        }
      }
    }
    transpose_back(head.d_k_t, shape.lanes, shape.lanes, shape.head_dim, scale, d_qkv + shape.rank,
                   shape.qkv_stride);
    transpose_back(head.d_v_t, shape.lanes, shape.lanes, shape.head_dim, 1, d_qkv + 2 * shape.rank,
                   shape.qkv_stride);
  }
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
