#include "common/last/fused/kernels/attention_bf16.h"
#include "common/last/fused/kernels/table.h"

// attention_forward.cpp with bf16 products: q, k, v and the exponentials are rounded, the softmax's
// maximum, exponent and sum are fp32.
namespace last::fused::LAST_ISA_NAMESPACE {
namespace {

constexpr int kQueries = 32;  // at a time

struct Head {
  Head(const Shape& shape, const AttentionForward& a, int head) : sizes(shape) {
    Scratch scratch(a.scratch);
    const int c = head * shape.head_dim;
    float* wide = scratch.floats(static_cast<long>(sizes.channels) * shape.lanes);
    k = scratch.halves(static_cast<long>(sizes.tokens) * sizes.depth);
    q_pairs = scratch.halves(static_cast<long>(sizes.depth) * shape.lanes);
    v_t = scratch.halves(static_cast<long>(sizes.channels) * sizes.tokens);
    scores = scratch.floats(static_cast<long>(shape.lanes) * kQueries);
    p_pairs = scratch.halves(static_cast<long>(sizes.tokens) * kQueries);
    o_t = scratch.floats(static_cast<long>(sizes.channels) * shape.lanes);
    head_rows(shape, sizes, a.qkv + shape.rank + c, shape.qkv_stride, shape.tokens, k);
    transpose(a.qkv + c, shape.qkv_stride, shape.lanes, shape.head_dim, 1, wide, shape.lanes);
    to_pairs(wide, shape.lanes, shape.head_dim, shape.lanes, q_pairs);
    transpose(a.qkv + 2 * shape.rank + c, shape.qkv_stride, shape.lanes, shape.head_dim, 1, wide,
              shape.lanes);
    to_rows(wide, shape.lanes, sizes.channels, shape.lanes, v_t, sizes.tokens);
    // No key stands behind the last one: its half of a pair, and the pairs up to the next tile.
    const int last = shape.tokens / 2;
    for (int i = last * 2 * kQueries; i < sizes.tokens * kQueries; ++i) p_pairs[i] = 0;
  }

  HeadSizes sizes;
  uint16_t* k;        // [tokens, depth]
  uint16_t* q_pairs;  // [depth / 2, lanes, 2]
  uint16_t* v_t;      // [channels, tokens]
  float* scores;      // [keys, 32 queries]
  uint16_t* p_pairs;  // [tokens / 2, 32 queries, 2]
  float* o_t;         // [channels, lanes]
};

// For N vectors of queries: p = 2^(s - max), in pairs of keys; their sums, and log2 of the sums of
// 2^s.
template <int N>
void exponentials(const Shape& shape, const Head& head, float scale, Vec (&total)[N],
                  float* log_sum) {
  const auto score = [&](int key, int j) {
    return load(head.scores + static_cast<long>(key) * kQueries + j * kLanes);
  };
  Vec largest[2][N], shift[N], odd[N];
#pragma GCC unroll 2
  for (int j = 0; j < N; ++j) largest[0][j] = largest[1][j] = score(0, j);
  int key = 1;
  for (; key + 2 <= shape.tokens; key += 2) {
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < N; ++j) largest[i][j] = max(largest[i][j], score(key + i, j));
    }
  }
#pragma GCC unroll 2
  for (int j = 0; j < N; ++j) {
    if (key < shape.tokens) largest[0][j] = max(largest[0][j], score(key, j));
    shift[j] = max(largest[0][j], largest[1][j]) * scale;
    total[j] = odd[j] = Vec{};
  }
  const auto pairs = [&](int j) {
    return head.p_pairs + static_cast<long>(key) * kQueries + 2 * j * kLanes;
  };
  for (key = 0; key + 2 <= shape.tokens; key += 2) {
    Vec p[2 * N];
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) {
      p[2 * j] = score(key, j) * scale - shift[j];
      p[2 * j + 1] = score(key + 1, j) * scale - shift[j];
    }
    exp2(p);
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) {
      total[j] += p[2 * j];
      odd[j] += p[2 * j + 1];
      store_pairs(pairs(j), p[2 * j], p[2 * j + 1]);
    }
  }
#pragma GCC unroll 2
  for (int j = 0; j < N; ++j) {
    if (key < shape.tokens) {
      Vec p[1] = {score(key, j) * scale - shift[j]};
      exp2(p);
      total[j] += p[0];
      store_pairs(pairs(j), p[0], Vec{});
    }
    total[j] += odd[j];
    store(log_sum + j * kLanes, shift[j] + log2(total[j]));
  }
}

// N vectors of queries from `first` on.
template <int N>
void attend(const Shape& shape, const Head& head, int first, float scale, float* log_sum) {
  multiply(head.k, head.sizes.depth, shape.lanes / 16, head.q_pairs + 2 * first, 2 * shape.lanes, N,
           head.sizes.depth / 32, true, head.scores, kQueries);
  Vec total[N];
  exponentials<N>(shape, head, scale, total, log_sum + first);
  multiply(head.v_t, head.sizes.tokens, head.sizes.channels / 16, head.p_pairs, 2 * kQueries, N,
           head.sizes.tokens / 32, true, head.o_t + first, shape.lanes);
  for (int j = 0; j < N; ++j) {
    const Vec inverse = 1.f / total[j];
    for (int i = 0; i < shape.head_dim; ++i) {
      float* o = head.o_t + i * shape.lanes + first + j * kLanes;
      store(o, load(o) * inverse);
    }
  }
}

}  // namespace

void attention_forward_bf16(const Shape& shape, const AttentionForward& a) {
  const TileUnit unit;
  const int wanted = round_up(a.query_rows, 16);
  const float scale = 1.442695041f / __builtin_sqrtf(static_cast<float>(shape.head_dim));
  for (int h = 0; h < shape.heads; ++h) {
    const Head head(shape, a, h);
    float* log_sum = a.log_sum + h * shape.lanes;
    int first = 0;
    for (; first + kQueries <= wanted; first += kQueries) {
      attend<2>(shape, head, first, scale, log_sum);
    }
    if (first < wanted) attend<1>(shape, head, first, scale, log_sum);
    transpose_back(head.o_t, shape.lanes, wanted, shape.head_dim, 1,
                   a.attended + h * shape.head_dim, shape.rank_stride);
  }
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
