// The sums over the tokens of one map; compiled once per instruction set, into a namespace of that
// name, so that no two of them share a function.

#include <cstring>

#include "common/feature_store/channel_sums.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace last::LAST_ISA_NAMESPACE {
namespace {

// Channels in a vector of doubles, and vectors whose sums stay in registers while the tokens pass.
#if defined(__AVX512F__)
constexpr int kLanes = 8, kVectors = 4;
#elif defined(__AVX2__)
constexpr int kLanes = 4, kVectors = 4;
#else
constexpr int kLanes = 4, kVectors = 1;
#endif

using Shorts __attribute__((vector_size(kLanes * 2))) = uint16_t;
using Bits __attribute__((vector_size(kLanes * 4))) = uint32_t;
using Floats __attribute__((vector_size(kLanes * 4))) = float;
using Doubles __attribute__((vector_size(kLanes * 8))) = double;

// GCC 12 converts half a vector at a time where it isn't told the instruction, and warns of the
// header of the one without a mask.
Doubles widen(Floats value) {
#if defined(__AVX512F__)
  return _mm512_maskz_cvtps_pd(0xff, value);
#elif defined(__AVX2__)
  return _mm256_cvtps_pd(value);
#else
  return __builtin_convertvector(value, Doubles);
#endif
}

Bits load_shorts(const uint16_t* from) {
  Shorts shorts;
  std::memcpy(&shorts, from, sizeof shorts);
  return __builtin_convertvector(shorts, Bits);
}

// fp16 without inf and NaN, which never get into a store.
struct Half {
  using Element = uint16_t;

  static Floats load(const uint16_t* from) {
#if defined(__AVX512F__)
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
#elif defined(__AVX2__)
    return _mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
#else
    const Bits half = load_shorts(from);
    const Bits magnitude = half & 0x7fffu;
    // Moving the exponent by multiplication gets subnormal numbers right.
    const Floats value = reinterpret_cast<Floats>(magnitude << 13) * 0x1p112f;
    return reinterpret_cast<Floats>(reinterpret_cast<Bits>(value) | (half & 0x8000u) << 16);
#endif
  }
};

struct BFloat16 {
  using Element = uint16_t;

  static Floats load(const uint16_t* from) {
    return reinterpret_cast<Floats>(load_shorts(from) << 16);
  }
};

struct Float {
  using Element = float;

  static Floats load(const float* from) {
    Floats value;
    std::memcpy(&value, from, sizeof value);
    return value;
  }
};

template <class Type>
Doubles load_doubles(const typename Type::Element* from, int count) {
  typename Type::Element part[kLanes] = {};
  std::memcpy(part, from, static_cast<size_t>(count) * sizeof *from);
  return widen(Type::load(part));
}

// `count` channels of each of `vectors` vectors.
template <class Type, int vectors>
[[gnu::always_inline]] inline void sum_strip(const typename Type::Element* data, int64_t tokens,
                                             int64_t dim, int count, int64_t channel,
                                             const ChannelSums& sums) {
  Doubles shift[vectors], sum[vectors], squares[vectors];
  for (int v = 0; v < vectors; ++v) {
    shift[v] = load_doubles<Type>(data + channel + v * kLanes, count);
    sum[v] = squares[v] = Doubles{};
  }
  for (int64_t token = 0; token < tokens; ++token) {
    const typename Type::Element* values = data + token * dim + channel;
    for (int v = 0; v < vectors; ++v) {
      const Doubles difference = load_doubles<Type>(values + v * kLanes, count) - shift[v];
      sum[v] += difference;
      squares[v] += difference * difference;
    }
  }
  const size_t bytes = vectors * static_cast<size_t>(count) * sizeof(double);
  std::memcpy(sums.shift + channel, shift, bytes);
  std::memcpy(sums.sum + channel, sum, bytes);
  std::memcpy(sums.squares + channel, squares, bytes);
}

template <class Type>
void sum_all(const void* data, int64_t tokens, int64_t dim, const ChannelSums& sums) {
  const auto* elements = static_cast<const typename Type::Element*>(data);
  int64_t channel = 0;
  for (; channel + kLanes * kVectors <= dim; channel += kLanes * kVectors) {
    sum_strip<Type, kVectors>(elements, tokens, dim, kLanes, channel, sums);
  }
  for (; channel + kLanes <= dim; channel += kLanes) {
    sum_strip<Type, 1>(elements, tokens, dim, kLanes, channel, sums);
  }
  if (channel == dim) return;
  sum_strip<Type, 1>(elements, tokens, dim, static_cast<int>(dim - channel), channel, sums);
}

}  // namespace

void sum_channels(const void* data, int64_t tokens, int64_t dim, c10::ScalarType dtype,
                  const ChannelSums& sums) {
  switch (dtype) {
    case c10::ScalarType::Half:
      return sum_all<Half>(data, tokens, dim, sums);
    case c10::ScalarType::BFloat16:
      return sum_all<BFloat16>(data, tokens, dim, sums);
    default:
      return sum_all<Float>(data, tokens, dim, sums);
  }
}

}  // namespace last::LAST_ISA_NAMESPACE
