#include "common/feature_store/channel_sums.h"

#include <cstring>
#include <vector>

// Everything that a function of one instruction set uses is compiled into it.
#define LAST_INLINE inline __attribute__((always_inline))

namespace last {
namespace {

template <class Element, int N>
struct Lanes {
  using Type __attribute__((vector_size(N * sizeof(Element)))) = Element;
};
template <class Element, int N>
using LanesOf = typename Lanes<Element, N>::Type;

// fp16 without inf and NaN, which never get into a store.
struct HalfDecoder {
  using Element = uint16_t;

  template <int N>
  static LAST_INLINE void decode(const LanesOf<uint16_t, N>& half, LanesOf<float, N>& value) {
    using Bits = LanesOf<uint32_t, N>;
    const Bits wide = __builtin_convertvector(half, Bits);
    const Bits magnitude = wide & 0x7fffu;
    const LanesOf<float, N> subnormal =
        __builtin_convertvector((LanesOf<int32_t, N>)magnitude, LanesOf<float, N>) * 0x1p-24f;
    const Bits is_subnormal = (Bits)(magnitude < 0x0400u);
    const Bits bits = ((Bits)subnormal & is_subnormal) |
                      (((magnitude << 13) + (112u << 23)) & ~is_subnormal) | (wide & 0x8000u) << 16;
    value = (LanesOf<float, N>)bits;
  }
};

struct BFloat16Decoder {
  using Element = uint16_t;

  template <int N>
  static LAST_INLINE void decode(const LanesOf<uint16_t, N>& bits, LanesOf<float, N>& value) {
    value = (LanesOf<float, N>)(__builtin_convertvector(bits, LanesOf<uint32_t, N>) << 16);
  }
};

struct FloatDecoder {
  using Element = float;

  template <int N>
  static LAST_INLINE void decode(const LanesOf<float, N>& in, LanesOf<float, N>& value) {
    value = in;
  }
};

template <class Decoder, int N>
LAST_INLINE void load(const typename Decoder::Element* from, LanesOf<double, N>& to) {
  LanesOf<typename Decoder::Element, N> stored;
  std::memcpy(&stored, from, sizeof stored);
  LanesOf<float, N> value;
  Decoder::template decode<N>(stored, value);
  to = __builtin_convertvector(value, LanesOf<double, N>);
}

// M vectors of N channels, whose sums stay in registers while the tokens pass.
template <class Decoder, int N, int M>
LAST_INLINE void sum_channels(const typename Decoder::Element* data, int64_t tokens, int64_t dim,
                              int64_t channel, const ChannelSums& sums) {
  using Values = LanesOf<double, N>;
  Values shift[M], sum[M], squares[M];
  for (int m = 0; m < M; ++m) {
    load<Decoder, N>(data + channel + m * N, shift[m]);
    sum[m] = squares[m] = Values{};
  }
  for (int64_t token = 0; token < tokens; ++token) {
    for (int m = 0; m < M; ++m) {
      Values difference;
      load<Decoder, N>(data + token * dim + channel + m * N, difference);
      difference -= shift[m];
      sum[m] += difference;
      squares[m] += difference * difference;
    }
  }
  std::memcpy(sums.shift + channel, shift, sizeof shift);
  std::memcpy(sums.sum + channel, sum, sizeof sum);
  std::memcpy(sums.squares + channel, squares, sizeof squares);
}

template <class Decoder, int N, int M>
LAST_INLINE void sum_all(const void* data, int64_t tokens, int64_t dim, const ChannelSums& sums) {
  const auto* elements = static_cast<const typename Decoder::Element*>(data);
  int64_t channel = 0;
  for (; channel + N * M <= dim; channel += N * M) {
    sum_channels<Decoder, N, M>(elements, tokens, dim, channel, sums);
  }
  for (; channel < dim; ++channel)
    sum_channels<Decoder, 1, 1>(elements, tokens, dim, channel, sums);
}

template <int N, int M>
LAST_INLINE void sum_type(const void* data, int64_t tokens, int64_t dim, c10::ScalarType dtype,
                          const ChannelSums& sums) {
  switch (dtype) {
    case c10::ScalarType::Half:
      return sum_all<HalfDecoder, N, M>(data, tokens, dim, sums);
    case c10::ScalarType::BFloat16:
      return sum_all<BFloat16Decoder, N, M>(data, tokens, dim, sums);
    default:
      return sum_all<FloatDecoder, N, M>(data, tokens, dim, sums);
  }
}

void sum_baseline(const void* data, int64_t tokens, int64_t dim, c10::ScalarType dtype,
                  const ChannelSums& sums) {
  sum_type<4, 1>(data, tokens, dim, dtype, sums);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) void sum_avx2(const void* data, int64_t tokens, int64_t dim,
                                              c10::ScalarType dtype, const ChannelSums& sums) {
  sum_type<4, 4>(data, tokens, dim, dtype, sums);
}

__attribute__((target("avx512f"))) void sum_avx512(const void* data, int64_t tokens, int64_t dim,
                                                   c10::ScalarType dtype, const ChannelSums& sums) {
  sum_type<16, 2>(data, tokens, dim, dtype, sums);
}
#endif

std::vector<ChannelSumsFunction> available_functions() {
  std::vector<ChannelSumsFunction> functions;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) functions.push_back(sum_avx512);
  if (__builtin_cpu_supports("avx2")) functions.push_back(sum_avx2);
#endif
  functions.push_back(sum_baseline);
  return functions;
}

}  // namespace

std::span<const ChannelSumsFunction> channel_sums_functions() {
  static const std::vector<ChannelSumsFunction> functions = available_functions();
  return functions;
}

}  // namespace last
