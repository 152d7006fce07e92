#include "common/last/fused/kernels/products.h"
#include "common/last/fused/kernels/row_products.h"
#include "common/last/fused/kernels/table.h"
#include "common/last/fused/kernels/transpose.h"

// Lanes are keys. Probabilities are computed again from log_sum for a few queries at a time, and
// kept in two small arrays p and ds [kQueries, lanes], which feed three products.
namespace last::fused::LAST_ISA_NAMESPACE {
namespace {

constexpr int kQueries = 24;  // per pass

struct Head {
  const float* q;         // [rows, qkv_stride]
  const float* k;         // [tokens, qkv_stride]
  const float* d_o;       // [rows, rank_stride]
  const float* log_sum;   // [lanes]
  const float* k_t;       // [head_dim, lanes], scaled by log2(e) / sqrt(head_dim)
  const float* v_t;       // [head_dim, lanes]
  const float* key_mask;  // [lanes] 0, and very negative beyond n
  const float* delta;     // [rows] <d_o, o>
  float* d_q;             // [rows, qkv_stride]
  float* d_k_t;           // [head_dim, lanes]
  float* d_v_t;
  float* p;  // [kQueries, lanes]
  float* ds;
  float scale;  // 1 / sqrt(head_dim)
};

// For 4 queries and N vectors of keys:
//   p = 2^(<q, k> - log_sum),  ds = p (<d_o, v> - delta)
template <int N>
[[gnu::always_inline]] inline void probabilities(const Shape& shape, const Head& head, int first,
                                                 int query, int key) {
  Vec acc[4][N];
#pragma GCC unroll 16
  for (int i = 0; i < 4; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < N; ++j) {
      acc[i][j] = load(head.key_mask + key + j * kLanes) - head.log_sum[query + i];
    }
  }
  accumulate(acc, head.q + query * shape.qkv_stride, shape.qkv_stride, 1, head.k_t + key,
             shape.lanes, shape.head_dim);
  const int at = (query - first) * shape.lanes + key;
  exp2(reinterpret_cast<Vec(&)[4 * N]>(acc));
#pragma GCC unroll 16
  for (int i = 0; i < 4; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < N; ++j) {
      store(head.p + at + i * shape.lanes + j * kLanes, acc[i][j]);
      acc[i][j] = broadcast(-head.delta[query + i]);
    }
  }
  accumulate(acc, head.d_o + query * shape.rank_stride, shape.rank_stride, 1, head.v_t + key,
             shape.lanes, shape.head_dim);
#pragma GCC unroll 16
  for (int i = 0; i < 4; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < N; ++j) {
      const int here = at + i * shape.lanes + j * kLanes;
      store(head.ds + here, load(head.p + here) * acc[i][j]);
    }
  }
}

// The same for all keys, in groups of nearly equal size: a rest of one vector would wait for
// itself.
void all_probabilities(const Shape& shape, const Head& head, int first, int query) {
  constexpr int kLargest = kLanes == 16 ? 4 : 3;
  const int vectors = whole_vectors(shape.tokens) / kLanes;
  const int groups = (vectors + kLargest - 1) / kLargest;
  for (int g = 0; g < groups; ++g) {
    const int begin = vectors * g / groups, size = vectors * (g + 1) / groups - begin;
    const int key = begin * kLanes;
    if (size == 1) probabilities<1>(shape, head, first, query, key);
    if (size == 2) probabilities<2>(shape, head, first, query, key);
    if (size == 3) probabilities<3>(shape, head, first, query, key);
    if (size == 4) probabilities<kLargest>(shape, head, first, query, key);
  }
}

// sum_t[channel, lanes] += left[query, channel] * right[query, lanes] over the pass's queries
template <int N, int C>
[[gnu::always_inline]] inline void add_keys(const float* left, int left_stride, const float* right,
                                            int queries, int lanes, float* sum_t) {
  Vec acc[C][N];
#pragma GCC unroll 16
  for (int i = 0; i < C; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < N; ++j) acc[i][j] = load(sum_t + i * lanes + j * kLanes);
  }
  accumulate(acc, left, 1, left_stride, right, lanes, queries);
#pragma GCC unroll 16
  for (int i = 0; i < C; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < N; ++j) store(sum_t + i * lanes + j * kLanes, acc[i][j]);
  }
}

// dQ = dS K / sqrt(head_dim) for the pass's queries
void multiply_keys(const Shape& shape, const Head& head, int queries, float* d_q) {
  project(head.ds, shape.lanes, head.k, shape.head_dim, shape.qkv_stride, shape.tokens, 0, queries,
          true, d_q);
  for (int query = 0; query < queries; ++query) {
    for (int c = 0; c < shape.head_dim; c += kLanes) {
      float* out = d_q + query * shape.qkv_stride + c;
      store(out, load(out) * head.scale);
    }
  }
}

void add_all_keys(const Shape& shape, const float* left, int left_stride, const float* right,
                  int queries, float* sum_t) {
  const int lanes = shape.lanes;
  for_columns(whole_vectors(shape.tokens), [&](auto n, int key) {
    constexpr int kN = decltype(n)::value;
    int c = 0;
    for (; c + kRows <= shape.head_dim; c += kRows) {
      add_keys<kN, kRows>(left + c, left_stride, right + key, queries, lanes,
                          sum_t + c * lanes + key);
    }
    if constexpr (kRows > 4) {
      for (; c + 4 <= shape.head_dim; c += 4) {
        add_keys<kN, 4>(left + c, left_stride, right + key, queries, lanes,
                        sum_t + c * lanes + key);
      }
    }
    for (; c < shape.head_dim; ++c) {
      add_keys<kN, 1>(left + c, left_stride, right + key, queries, lanes, sum_t + c * lanes + key);
    }
  });
}

// Whether dQ is made in vectors of channels, from the rows of K. (With 16 lanes the other way isn't
// slower, since four columns at a time share what is loaded.)
bool takes_rows_of_keys(const Shape& shape) { return kLanes == 8 && shape.head_dim % kLanes == 0; }

void head_backward_pass(const Shape& shape, const Head& head, int query_rows) {
  for (int first = 0; first < query_rows; first += kQueries) {
    const int end = first + kQueries < query_rows ? first + kQueries : query_rows;
    for (int query = first; query < end; query += 4) {
      all_probabilities(shape, head, first, query);
      if (takes_rows_of_keys(shape)) continue;
      // dQ = ln 2 dS K; the factor undoes k_t's log2(e).
      multiply_rows(head.ds + (query - first) * shape.lanes, shape.lanes, head.k_t, shape.lanes,
                    shape.head_dim, whole_vectors(shape.tokens), 0.6931471806f, true,
                    head.d_q + query * shape.qkv_stride, shape.qkv_stride);
    }
    if (takes_rows_of_keys(shape)) {
      multiply_keys(shape, head, end - first, head.d_q + first * shape.qkv_stride);
    }
    // dV = P^T dO,  dK = dS^T Q
    add_all_keys(shape, head.d_o + first * shape.rank_stride, shape.rank_stride, head.p,
                 end - first, head.d_v_t);
    add_all_keys(shape, head.q + first * shape.qkv_stride, shape.qkv_stride, head.ds, end - first,
                 head.d_k_t);
  }
}

}  // namespace

void attention_backward(const Shape& shape, const AttentionBackward& a) {
  const int lanes = shape.lanes, r = shape.rank;
  const int query_rows = (a.query_rows + 3) / 4 * 4;
  const float scale = 1.f / __builtin_sqrtf(static_cast<float>(shape.head_dim));
  const long channels = static_cast<long>(shape.rank_stride + 16) * lanes;
  float* k_t = a.scratch;
  float* v_t = k_t + channels;
  float* d_k_t = v_t + channels;
  float* d_v_t = d_k_t + channels;
  float* key_mask = d_v_t + channels;
  float* delta = key_mask + lanes;
  float* p = delta + lanes;
  float* ds = p + kQueries * lanes;
  transpose(a.qkv + r, shape.qkv_stride, lanes, r, scale * 1.442695041f, k_t, lanes);
  transpose(a.qkv + 2 * r, shape.qkv_stride, lanes, r, 1, v_t, lanes);
  for (long i = 0; i < static_cast<long>(r) * lanes; ++i) d_k_t[i] = d_v_t[i] = 0;
  for (int i = 0; i < lanes; ++i) key_mask[i] = i < shape.tokens ? 0.f : -1e30f;
  for (int t = query_rows; t < lanes; ++t) {
    for (int c = 0; c < r; ++c) a.d_qkv[t * shape.qkv_stride + c] = 0;
  }
  for (int h = 0; h < shape.heads; ++h) {
    const int c = h * shape.head_dim;
    for (int t = 0; t < query_rows; ++t) {
      float total = 0;
      for (int i = c; i < c + shape.head_dim; ++i) {
        total += a.d_attended[t * shape.rank_stride + i] * a.attended[t * shape.rank_stride + i];
      }
      delta[t] = total;
    }
    const Head head = {a.qkv + c,
                       a.qkv + r + c,
                       a.d_attended + c,
                       a.log_sum + h * lanes,
                       k_t + c * lanes,
                       v_t + c * lanes,
                       key_mask,
                       delta,
                       a.d_qkv + c,
                       d_k_t + c * lanes,
                       d_v_t + c * lanes,
                       p,
                       ds,
                       scale};
    head_backward_pass(shape, head, query_rows);
  }
  transpose_back(d_k_t, lanes, lanes, r, scale, a.d_qkv + r, shape.qkv_stride);
  transpose_back(d_v_t, lanes, lanes, r, 1, a.d_qkv + 2 * r, shape.qkv_stride);
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
