#pragma once

#include "common/last/fused/kernels/transpose.h"

namespace last::fused::LAST_ISA_NAMESPACE {

// out[i, c] (+)= scale <row i of left, row c of right> for i < 4, c < columns; rows of `count`
// numbers, count % kLanes == 0. For few columns: the lanes of a sum are added up in the end. Reads
// rows of right up to the next multiple of kLanes / 4.
[[gnu::always_inline]] inline void multiply_rows(const float* left, int left_stride,
                                                 const float* right, int right_stride, int columns,
                                                 int count, float scale, bool overwrite, float* out,
                                                 int out_stride) {
  constexpr int kColumns = kLanes / 4;  // 4 x kColumns sums fill one vector
  for (int c = 0; c < columns; c += kColumns) {
    Vec acc[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) acc[i] = Vec{};
    for (int k = 0; k < count; k += kLanes) {
      Vec a[4], b[kColumns];
#pragma GCC unroll 16
      for (int i = 0; i < 4; ++i) a[i] = load(left + i * left_stride + k);
#pragma GCC unroll 16
      for (int j = 0; j < kColumns; ++j) b[j] = load(right + (c + j) * right_stride + k);
#pragma GCC unroll 16
      for (int i = 0; i < 4; ++i) {
#pragma GCC unroll 16
        for (int j = 0; j < kColumns; ++j) acc[i * kColumns + j] += a[i] * b[j];
      }
    }
    float total[kLanes];
    store(total, sums(acc) * scale);
    const int width = columns - c < kColumns ? columns - c : kColumns;
    for (int i = 0; i < 4; ++i) {
      float* row = out + i * out_stride + c;
      if (overwrite && width == kColumns) {
        __builtin_memcpy(row, total + i * kColumns, sizeof(float) * kColumns);
      } else {
        for (int j = 0; j < width; ++j) {
          row[j] = total[i * kColumns + j] + (overwrite ? 0.f : row[j]);
        }
      }
    }
  }
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
