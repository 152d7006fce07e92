#pragma once

#include <immintrin.h>

#include "common/last/fused/kernels/vec.h"

// Products of bf16 matrices with fp32 sums on the processor's tile unit (AMX).
namespace last::fused::LAST_ISA_NAMESPACE {

inline int round_up(int value, int to) { return (value + to - 1) / to * to; }

// All eight tiles 16 rows of 64 bytes while it lives.
class TileUnit {
 public:
  TileUnit() {
    struct {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    _tile_loadconfig(&config);
  }
  ~TileUnit() { _tile_release(); }
  TileUnit(const TileUnit&) = delete;
  TileUnit& operator=(const TileUnit&) = delete;
};

// out [16 m, 16 n] (+)= a [16 m, 32 k] b [32 k, 16 n]. a in rows of bf16; b in pairs of rows:
// [16 k, 16 n, 2]. Strides in numbers of their type.
inline void multiply(const uint16_t* a, int a_stride, int m, const uint16_t* b, int b_stride, int n,
                     int k, bool overwrite, float* out, int out_stride) {
  const long a_bytes = a_stride * 2L, b_bytes = b_stride * 2L, out_bytes = out_stride * 4L;
  for (int i = 0; i < m; i += 2) {
    for (int j = 0; j < n; j += 2) {
      const bool below = i + 1 < m, right = j + 1 < n;
      float* c = out + 16L * i * out_stride + 16 * j;
      if (overwrite) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
      } else {
        _tile_loadd(0, c, out_bytes);
        if (right) _tile_loadd(1, c + 16, out_bytes);
        if (below) _tile_loadd(2, c + 16L * out_stride, out_bytes);
        if (below && right) _tile_loadd(3, c + 16L * out_stride + 16, out_bytes);
      }
      for (int l = 0; l < k; ++l) {
        const uint16_t* al = a + 16L * i * a_stride + 32 * l;
        const uint16_t* bl = b + 16L * l * b_stride + 32 * j;
        _tile_loadd(4, al, a_bytes);
        _tile_loadd(6, bl, b_bytes);
        _tile_dpbf16ps(0, 4, 6);
        if (right) {
          _tile_loadd(7, bl + 32, b_bytes);
          _tile_dpbf16ps(1, 4, 7);
        }
        if (below) {
          _tile_loadd(5, al + 16L * a_stride, a_bytes);
          _tile_dpbf16ps(2, 5, 6);
          if (right) _tile_dpbf16ps(3, 5, 7);
        }
      }
      _tile_stored(0, c, out_bytes);
      if (right) _tile_stored(1, c + 16, out_bytes);
      if (below) _tile_stored(2, c + 16L * out_stride, out_bytes);
      if (below && right) _tile_stored(3, c + 16L * out_stride + 16, out_bytes);
    }
  }
}

// body(Int<W>) for a strip of W vectors: what is done to single numbers goes row by row, and
// without a loop over columns.
template <class Body>
[[gnu::always_inline]] inline void for_width(int width, Body body) {
  if (width == 3 * kLanes) {
    body(Int<3>{});
  } else if (width == 2 * kLanes) {
    body(Int<2>{});
  } else {
    body(Int<1>{});
  }
}

// Two vectors to bf16, rounded to nearest: low's numbers, then high's.
inline __m512i to_bfloat16(Vec low, Vec high) {
  return (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
}

// Rows of fp32 to rows of bf16: columns % 16 == 0, zeros up to the next multiple of 32.
inline void to_rows(const float* in, int in_stride, int rows, int columns, uint16_t* out,
                    int out_stride) {
  for (int i = 0; i < rows; ++i) {
    for (int c = 0; c < columns; c += 32) {
      const float* x = in + static_cast<long>(i) * in_stride + c;
      const Vec high = c + 16 < columns ? load(x + 16) : Vec{};
      _mm512_storeu_si512(out + static_cast<long>(i) * out_stride + c, to_bfloat16(load(x), high));
    }
  }
}

// low and high, rows i and i + 1 of a matrix, as pairs of bf16.
inline void store_pairs(uint16_t* out, Vec low, Vec high) {
  alignas(64) static constexpr uint16_t kOrder[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                      21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                      11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i order = _mm512_load_si512(kOrder);
  _mm512_storeu_si512(out, _mm512_permutexvar_epi16(order, to_bfloat16(low, high)));
}

// Rows of fp32 to pairs of rows of bf16, [ceil(rows / 2), columns, 2]; columns % 16 == 0. Zero rows
// up to the next multiple of 32.
inline void to_pairs(const float* in, int in_stride, int rows, int columns, uint16_t* out) {
  for (int i = 0; i < round_up(rows, 32); i += 2) {
    for (int c = 0; c < columns; c += 16) {
      const float* x = in + static_cast<long>(i) * in_stride + c;
      const Vec low = i < rows ? load(x) : Vec{};
      const Vec high = i + 1 < rows ? load(x + in_stride) : Vec{};
      store_pairs(out + static_cast<long>(i) * columns + 2 * c, low, high);
    }
  }
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
