#include "common/last/fused/kernels/products.h"
#include "common/last/fused/kernels/table.h"
#include "common/last/fused/kernels/transpose.h"

// Lanes are queries, the loops go over keys: no sum crosses lanes, no key needs a mask.
namespace last::fused::LAST_ISA_NAMESPACE {
namespace {

constexpr int kKeys = kLanes == 16 ? 8 : 4;
constexpr int kChannels = kLanes == 16 ? 8 : 4;  // x 2 accumulators fit the registers

struct Head {
  const float* q_t;  // [head_dim, lanes], scaled by log2(e) / sqrt(head_dim)
  const float* k;    // [tokens, qkv_stride]
  const float* v;
  float* o_t;      // [head_dim, lanes]
  float* log_sum;  // [lanes]
  float* scores;   // [tokens, N vectors]
};

// s[key] = <q, k_key> for N vectors of queries from `lane` on, keys key..key+K-1; or, kShifted
// being false, 2^s at once, which is added to `sums`.
template <bool kShifted, int N, int K>
[[gnu::always_inline]] inline void score(const Shape& shape, const Head& head, int lane, int key,
                                         Vec (&maxima)[N], Vec (&sums)[N]) {
  Vec s[K][N];
  clear(s);
  accumulate(s, head.k + key * shape.qkv_stride, shape.qkv_stride, 1, head.q_t + lane, shape.lanes,
             shape.head_dim);
  if constexpr (!kShifted) exp2(reinterpret_cast<Vec(&)[K * N]>(s));
#pragma GCC unroll 16
  for (int i = 0; i < K; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < N; ++j) {
      if constexpr (kShifted) {
        maxima[j] = max(maxima[j], s[i][j]);
      } else {
        sums[j] += s[i][j];
      }
      store(head.scores + ((key + i) * N + j) * kLanes, s[i][j]);
    }
  }
}

// o[channel] = sum over keys of p[key] v[key, channel] / sum over keys of p[key]
template <int N, int C>
[[gnu::always_inline]] inline void mix(const Shape& shape, const Head& head, int lane, int channel,
                                       const Vec (&inverse)[N]) {
  Vec o[C][N];
  clear(o);
  accumulate(o, head.v + channel, 1, shape.qkv_stride, head.scores, N * kLanes, shape.tokens);
#pragma GCC unroll 16
  for (int i = 0; i < C; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < N; ++j) {
      store(head.o_t + (channel + i) * shape.lanes + lane + j * kLanes, o[i][j] * inverse[j]);
    }
  }
}

template <bool kShifted, int N>
void attend(const Shape& shape, const Head& head, int lane) {
  Vec maxima[N], total[N], inverse[N];
  for (int j = 0; j < N; ++j) {
    maxima[j] = kShifted ? broadcast(-3e38f) : Vec{};
    total[j] = Vec{};
  }
  int key = 0;
  for (; key + kKeys <= shape.tokens; key += kKeys) {
    score<kShifted, N, kKeys>(shape, head, lane, key, maxima, total);
  }
  for (; key < shape.tokens; ++key) score<kShifted, N, 1>(shape, head, lane, key, maxima, total);
  // p = 2^(s - max)
  for (key = 0; kShifted && key < shape.tokens; ++key) {
    float* p = head.scores + key * N * kLanes;
    Vec e[N];
#pragma GCC unroll 16
    for (int j = 0; j < N; ++j) e[j] = load(p + j * kLanes) - maxima[j];
    exp2(e);
#pragma GCC unroll 16
    for (int j = 0; j < N; ++j) {
      store(p + j * kLanes, e[j]);
      total[j] += e[j];
    }
  }
  for (int j = 0; j < N; ++j) {
    inverse[j] = 1.f / total[j];
    store(head.log_sum + lane + j * kLanes, maxima[j] + log2(total[j]));
  }
  int channel = 0;
  for (; channel + kChannels <= shape.head_dim; channel += kChannels) {
    mix<N, kChannels>(shape, head, lane, channel, inverse);
  }
  if constexpr (kChannels > 4) {
    for (; channel + 4 <= shape.head_dim; channel += 4) {
      mix<N, 4>(shape, head, lane, channel, inverse);
    }
  }
  for (; channel < shape.head_dim; ++channel) mix<N, 1>(shape, head, lane, channel, inverse);
}

template <bool kShifted>
void attend_all(const Shape& shape, const Head& head, int wanted) {
  int lane = 0;
  for (; lane + 2 * kLanes <= wanted; lane += 2 * kLanes) attend<kShifted, 2>(shape, head, lane);
  if (lane < wanted) attend<kShifted, 1>(shape, head, lane);
}

// Whether all |s| <= |q| |k| are so small that 2^s can neither overflow nor vanish: then the
// softmax needs no maximum.
bool scores_are_small(const Shape& shape, const Head& head, int wanted) {
  constexpr float kLargest = 60;
  Vec queries = {};
  for (int lane = 0; lane < wanted; lane += kLanes) {
    Vec square = {};
    for (int c = 0; c < shape.head_dim; ++c) {
      const Vec q = load(head.q_t + c * shape.lanes + lane);
      square += q * q;
    }
    queries = max(queries, square);
  }
  float largest_query = 0, largest_key = 0;
  for (int i = 0; i < kLanes; ++i)
    largest_query = queries[i] > largest_query ? queries[i] : largest_query;
  for (int key = 0; key < shape.tokens; ++key) {
    const float* k = head.k + key * shape.qkv_stride;
    float square = 0;
    for (int c = 0; c < shape.head_dim; ++c) square += k[c] * k[c];
    largest_key = square > largest_key ? square : largest_key;
  }
  return largest_query * largest_key < kLargest * kLargest;
}

}  // namespace

// O = concat_h softmax(Q_h K_h^T / sqrt(d)) V_h
void attention_forward(const Shape& shape, const AttentionForward& a) {
  const int wanted = (a.query_rows + kLanes - 1) / kLanes * kLanes;
  const float scale = 1.442695041f / __builtin_sqrtf(static_cast<float>(shape.head_dim));
  float* q_t = a.scratch;
  float* o_t = q_t + shape.rank_stride * shape.lanes;
  float* scores = o_t + shape.rank_stride * shape.lanes;
  transpose(a.qkv, shape.qkv_stride, wanted, shape.rank, scale, q_t, shape.lanes);
  for (int h = 0; h < shape.heads; ++h) {
    const int c = h * shape.head_dim;
    const Head head = {q_t + c * shape.lanes,       a.qkv + shape.rank + c,
                       a.qkv + 2 * shape.rank + c,  o_t + c * shape.lanes,
                       a.log_sum + h * shape.lanes, scores};
    if (scores_are_small(shape, head, wanted)) {
      attend_all<false>(shape, head, wanted);
    } else {
      attend_all<true>(shape, head, wanted);
    }
  }
  transpose_back(o_t, shape.lanes, wanted, shape.rank, 1, a.attended, shape.rank_stride);
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
