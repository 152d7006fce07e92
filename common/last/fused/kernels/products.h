#pragma once

#include "common/last/fused/kernels/vec.h"

namespace last::fused::LAST_ISA_NAMESPACE {

// The one inner loop of all products. For i < R, j < N vectors:
//   acc[i][j] += sum_{k < count} left[i * left_row + k * left_step] * right[k * right_stride + j]
// left is read number by number, right in vectors.
template <int R, int N>
[[gnu::always_inline]] inline void accumulate(Vec (&acc)[R][N], const float* left, long left_row,
                                              long left_step, const float* right, long right_stride,
                                              int count) {
  for (int k = 0; k < count; ++k) {
    Vec b[N];
#pragma GCC unroll 16
    for (int j = 0; j < N; ++j) b[j] = load(right + k * right_stride + j * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const Vec a = broadcast(left[i * left_row + k * left_step]);
#pragma GCC unroll 16
      for (int j = 0; j < N; ++j) acc[i][j] += a * b[j];
    }
  }
}

template <int R, int N>
[[gnu::always_inline]] inline void clear(Vec (&acc)[R][N]) {
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < N; ++j) acc[i][j] = Vec{};
  }
}

// body(Int<R>, row) for blocks of R, then of 4 rows; end - begin is a multiple of 4.
template <int R, class Body>
[[gnu::always_inline]] inline void for_rows(int begin, int end, Body body) {
  int row = begin;
  for (; row + R <= end; row += R) body(Int<R>{}, row);
  if constexpr (R > 4) {
    for (; row < end; row += 4) body(Int<4>{}, row);
  }
}

// `columns`, rounded up to whole vectors
[[gnu::always_inline]] inline int whole_vectors(int columns) {
  return (columns + kLanes - 1) / kLanes * kLanes;
}

// body(Int<N>, column) for groups of N = 3 vectors, then what is left; columns % kLanes == 0.
template <class Body>
[[gnu::always_inline]] inline void for_columns(int columns, Body body) {
  int c = 0;
  for (; c + 3 * kLanes <= columns; c += 3 * kLanes) body(Int<3>{}, c);
  if (c + 2 * kLanes <= columns) {
    body(Int<2>{}, c);
  } else if (c < columns) {
    body(Int<1>{}, c);
  }
}

// out[rows begin..end, columns] (+)= x[rows, depth] right[depth, columns]; rows of right and out
// are `stride` apart. columns % kLanes == 0
[[gnu::always_inline]] inline void project(const float* x, int x_stride, const float* right,
                                           int columns, int stride, int depth, int begin, int end,
                                           bool overwrite, float* out) {
  for_columns(columns, [&](auto n, int c) {
    constexpr int kN = decltype(n)::value;
    // A single vector of few rows would wait for itself.
    for_rows<kN == 1 ? 2 * kRows : kRows>(begin, end, [&](auto r, int row) {
      constexpr int kR = decltype(r)::value;
      Vec acc[kR][kN];
      clear(acc);
      accumulate(acc, x + row * x_stride, x_stride, 1, right + c, stride, depth);
#pragma GCC unroll 16
      for (int i = 0; i < kR; ++i) {
#pragma GCC unroll 16
        for (int j = 0; j < kN; ++j) {
          float* y = out + (row + i) * stride + c + j * kLanes;
          store(y, overwrite ? acc[i][j] : load(y) + acc[i][j]);
        }
      }
    });
  });
}

// out[a, columns] (+)= left[begin..end, a]^T right[begin..end, columns] for a < rows, rows % 4 == 0
template <int R>
[[gnu::always_inline]] inline void outer(const float* left, int left_stride, int rows,
                                         const float* right, int right_stride, int columns,
                                         int begin, int end, bool overwrite, float* out,
                                         int out_stride) {
  for_columns(columns, [&](auto n, int c) {
    for_rows<R>(0, rows, [&](auto r, int a) {
      constexpr int kR = decltype(r)::value, kN = decltype(n)::value;
      Vec acc[kR][kN];
      clear(acc);
      accumulate(acc, left + begin * left_stride + a, 1, left_stride,
                 right + begin * right_stride + c, right_stride, end - begin);
#pragma GCC unroll 16
      for (int i = 0; i < kR; ++i) {
#pragma GCC unroll 16
        for (int j = 0; j < kN; ++j) {
          float* y = out + (a + i) * out_stride + c + j * kLanes;
          store(y, overwrite ? acc[i][j] : load(y) + acc[i][j]);
        }
      }
    });
  });
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
