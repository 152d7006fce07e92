#pragma once

#include "common/last/fused/kernels/vec.h"

namespace last::fused::LAST_ISA_NAMESPACE {

template <int... I>
struct Lanes {};
template <int N, int... I>
struct MakeLanes : MakeLanes<N - 1, N - 1, I...> {};
template <int... I>
struct MakeLanes<0, I...> {
  using Type = Lanes<I...>;
};

// Of x and y, one after the other, the lanes of these numbers.
template <int... I>
[[gnu::always_inline]] inline Vec pick(Vec x, Vec y) {
#if defined(__clang__)
  return __builtin_shufflevector(x, y, I...);
#else  // GCC 11 has no other
  return __builtin_shuffle(x, y, IntVec{I...});
#endif
}

// Of x and y, taken as 2x2 blocks of `step` lanes: the lower blocks side by side, the upper ones.
template <int step, int... I>
[[gnu::always_inline]] inline Vec lower_blocks(Vec x, Vec y, Lanes<I...>) {
  return pick<((I & step) == 0 ? I : kLanes + I - step)...>(x, y);
}
template <int step, int... I>
[[gnu::always_inline]] inline Vec upper_blocks(Vec x, Vec y, Lanes<I...>) {
  return pick<((I & step) == 0 ? I + step : kLanes + I)...>(x, y);
}

template <int step>
[[gnu::always_inline]] inline void transpose_stage(Vec (&v)[kLanes]) {
  using All = MakeLanes<kLanes>::Type;
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if ((i & step) != 0) continue;
    const Vec x = v[i], y = v[i + step];
    v[i] = lower_blocks<step>(x, y, All{});
    v[i + step] = upper_blocks<step>(x, y, All{});
  }
  if constexpr (2 * step < kLanes) transpose_stage<2 * step>(v);
}

// Lane i of the result is the sum of v[i]'s lanes. v is used up.
template <int step = 1>
[[gnu::always_inline]] inline Vec sums(Vec (&v)[kLanes]) {
  using All = MakeLanes<kLanes>::Type;
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; i += 2 * step) {
    const Vec x = v[i], y = v[i + step];
    v[i] = lower_blocks<step>(x, y, All{}) + upper_blocks<step>(x, y, All{});
  }
  if constexpr (2 * step < kLanes) {
    return sums<2 * step>(v);
  } else {
    return v[0];
  }
}

// out[c, r] = scale * in[r, c] for r < rows, c < columns; rows % kLanes == 0. Reads in[] up to the
// next multiple of kLanes columns and writes as many rows of out.
[[gnu::always_inline]] inline void transpose(const float* in, int in_stride, int rows, int columns,
                                             float scale, float* out, int out_stride) {
  for (int c = 0; c < columns; c += kLanes) {
    for (int r = 0; r < rows; r += kLanes) {
      Vec v[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) v[i] = load(in + (r + i) * in_stride + c);
      transpose_stage<1>(v);
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) store(out + (c + i) * out_stride + r, v[i] * scale);
    }
  }
}

// out[r, c] = scale * in[c, r] for r < rows, c < columns; rows % kLanes == 0. Reads in[] up to the
// next multiple of kLanes channels, writes exactly `columns` columns.
[[gnu::always_inline]] inline void transpose_back(const float* in, int in_stride, int rows,
                                                  int columns, float scale, float* out,
                                                  int out_stride) {
  for (int c = 0; c < columns; c += kLanes) {
    for (int r = 0; r < rows; r += kLanes) {
      Vec v[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) v[i] = load(in + (c + i) * in_stride + r);
      transpose_stage<1>(v);
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        store_part(out + (r + i) * out_stride + c, v[i] * scale, columns - c);
      }
    }
  }
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
