#pragma once

// Vectors of floats of the instruction set that this file is compiled for. Everything here lives in
// a namespace named after it: no two instruction sets share a function.

#include <cstdint>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace last::fused::LAST_ISA_NAMESPACE {

#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
inline constexpr int kRows = 8;  // kRows x 3 accumulators fit the registers
#elif defined(__AVX2__)
inline constexpr int kLanes = 8;
inline constexpr int kRows = 4;
#else
inline constexpr int kLanes = 4;
inline constexpr int kRows = 4;
#endif

using Vec __attribute__((vector_size(kLanes * 4))) = float;
using IntVec __attribute__((vector_size(kLanes * 4))) = int32_t;
using UnsignedVec __attribute__((vector_size(kLanes * 4))) = uint32_t;
using ShortVec __attribute__((vector_size(kLanes * 2))) = uint16_t;
using UnalignedVec __attribute__((vector_size(kLanes * 4), aligned(4), may_alias)) = float;
using UnalignedShortVec __attribute__((vector_size(kLanes * 2), aligned(2), may_alias)) = uint16_t;

[[gnu::always_inline]] inline Vec load(const float* p) {
  return *reinterpret_cast<const UnalignedVec*>(p);
}
[[gnu::always_inline]] inline void store(float* p, Vec v) {
  *reinterpret_cast<UnalignedVec*>(p) = v;
}
[[gnu::always_inline]] inline Vec broadcast(float x) { return x - Vec{}; }

// The first `count` floats (all, if there are more), zero behind them; and back.
#if defined(__AVX512F__)
[[gnu::always_inline]] inline __mmask16 first_lanes(int count) {
  if (count >= kLanes) return 0xffff;
  return count <= 0 ? 0 : static_cast<__mmask16>((1U << count) - 1);
}
[[gnu::always_inline]] inline Vec load_part(const float* p, int count) {
  return _mm512_maskz_loadu_ps(first_lanes(count), p);
}
[[gnu::always_inline]] inline void store_part(float* p, Vec v, int count) {
  _mm512_mask_storeu_ps(p, first_lanes(count), v);
}
#elif defined(__AVX2__)
[[gnu::always_inline]] inline __m256i first_lanes(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
[[gnu::always_inline]] inline Vec load_part(const float* p, int count) {
  return count >= kLanes ? load(p) : Vec(_mm256_maskload_ps(p, first_lanes(count)));
}
[[gnu::always_inline]] inline void store_part(float* p, Vec v, int count) {
  if (count >= kLanes) {
    store(p, v);  // masked stores are slow on older AMD processors
  } else {
    _mm256_maskstore_ps(p, first_lanes(count), v);
  }
}
#else
[[gnu::always_inline]] inline Vec load_part(const float* p, int count) {
  float part[kLanes] = {};
  for (int i = 0; i < kLanes && i < count; ++i) part[i] = p[i];
  return load(part);
}
[[gnu::always_inline]] inline void store_part(float* p, Vec v, int count) {
  float part[kLanes];
  store(part, v);
  for (int i = 0; i < kLanes && i < count; ++i) p[i] = part[i];
}
#endif

// The larger, b where one is NaN. Of `a > b ? a : b` GCC makes two instructions.
[[gnu::always_inline]] inline Vec max(Vec a, Vec b) {
#if defined(__AVX512F__)
  return _mm512_maskz_max_ps(0xffff, a, b);  // GCC 12 warns of the other form's own header
#elif defined(__AVX2__)
  return _mm256_max_ps(a, b);
#else
  return a > b ? a : b;
#endif
}

inline float sum(Vec v) {
  float s[kLanes];
  store(s, v);
  for (int step = kLanes / 2; step > 0; step /= 2) {
    for (int i = 0; i < step; ++i) s[i] += s[i + step];
  }
  return s[0];
}

// x = 2^x for all, relative error 1e-7; x is raised to -100, so that results (of masked keys, too)
// are neither exact when they are very small nor subnormal, which would be slow. Each is a chain of
// eleven instructions that wait for each other: several go through it together, which is more than
// a processor finds by itself. (kTogether of them and a factor fill the registers.)
template <int N>
[[gnu::always_inline]] inline void exp2(Vec (&all)[N]) {
  constexpr int kTogether = 4;
  constexpr float kPolynomial[] = {1.327647152e-03f, 9.675541331e-03f, 5.550713275e-02f,
                                   2.402211972e-01f, 6.931469671e-01f, 1.000000072e+00f};
  const Vec magic = broadcast(12582912.f);  // 1.5 * 2^23: adding it rounds to an integer
#pragma GCC unroll 16
  for (int first = 0; first < N; first += kTogether) {
    constexpr int kMost = N < kTogether ? N : kTogether;
    Vec shifted[kMost], f[kMost], p[kMost];
    const auto each = [&](auto step) {
#pragma GCC unroll 16
      for (int i = 0; i < kMost; ++i) {
        if (first + i < N) step(i);
      }
    };
    each([&](int i) { f[i] = max(all[first + i], broadcast(-100.f)); });
    each([&](int i) { shifted[i] = f[i] + magic; });
    each([&](int i) { p[i] = shifted[i] - magic; });
    each([&](int i) { f[i] = f[i] - p[i]; });  // in [-0.5, 0.5]
    // 2^f, minimax
    each([&](int i) { p[i] = broadcast(kPolynomial[0]) * f[i] + kPolynomial[1]; });
    each([&](int i) { p[i] = p[i] * f[i] + kPolynomial[2]; });
    each([&](int i) { p[i] = p[i] * f[i] + kPolynomial[3]; });
    each([&](int i) { p[i] = p[i] * f[i] + kPolynomial[4]; });
    each([&](int i) { p[i] = p[i] * f[i] + kPolynomial[5]; });
    // The integer stands in the low bits of `shifted`: add it to the exponent.
    each([&](int i) {
      all[first + i] = reinterpret_cast<Vec>(reinterpret_cast<IntVec>(p[i]) +
                                             (reinterpret_cast<IntVec>(shifted[i]) << 23));
    });
  }
}

// log2 of positive, normal x.
[[gnu::always_inline]] inline Vec log2(Vec x) {
  const IntVec bits = reinterpret_cast<IntVec>(x);
  const IntVec exponent = (bits - 0x3f3504f3) >> 23;  // x = m 2^exponent, m in [sqrt 1/2, sqrt 2)
  const Vec m = reinterpret_cast<Vec>(bits - (exponent << 23));
  const Vec t = (m - 1.f) / (m + 1.f);
  const Vec t2 = t * t;
  const Vec series = 1.f + t2 * (1.f / 3 + t2 * (1.f / 5 + t2 * (1.f / 7 + t2 * (1.f / 9))));
  return __builtin_convertvector(exponent, Vec) + 2.885390082f * t * series;  // 2 / ln 2
}

inline Vec widen_bfloat16(const uint16_t* p) {
  const ShortVec h = *reinterpret_cast<const UnalignedShortVec*>(p);
  return reinterpret_cast<Vec>(__builtin_convertvector(h, UnsignedVec) << 16);
}

inline Vec widen_half(const uint16_t* p) {
#if defined(__AVX512F__)
  // The masked form, because GCC 12 warns of the other one's own header.
  return reinterpret_cast<Vec>(
      _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#elif defined(__F16C__)
  return reinterpret_cast<Vec>(
      _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#else
  const ShortVec h = *reinterpret_cast<const UnalignedShortVec*>(p);
  const UnsignedVec bits = __builtin_convertvector(h, UnsignedVec);
  const UnsignedVec magnitude = bits & 0x7fffu;
  // Moving the exponent by multiplication gets subnormal numbers right.
  const Vec scaled = reinterpret_cast<Vec>(magnitude << 13) * 5.192296858534828e33f;  // 2^112
  const UnsignedVec special =
      (magnitude >= 0x7c00u) ? (UnsignedVec{} + 0x7f800000u) : UnsignedVec{};
  return reinterpret_cast<Vec>(reinterpret_cast<UnsignedVec>(scaled) | special |
                               ((bits & 0x8000u) << 16));
#endif
}

template <int N>
struct Int {
  static constexpr int value = N;
};

}  // namespace last::fused::LAST_ISA_NAMESPACE
