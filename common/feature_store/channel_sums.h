#pragma once

#include <cstdint>
#include <span>

#include <c10/core/ScalarType.h>

namespace last {

// Sums over the tokens of one map, per channel, in double precision. Channels of transformers often
// have means far larger than their deviations: `shift` is the first token's value.
struct ChannelSums {
  double* shift;    // [dim]
  double* sum;      // [dim], of x - shift
  double* squares;  // [dim], of (x - shift)^2
};

// `data`: finite fp16, bf16 or fp32 [tokens, dim], at least one token, tokens in ascending order.
using ChannelSumsFunction = void (*)(const void* data, int64_t tokens, int64_t dim,
                                     c10::ScalarType dtype, const ChannelSums& sums);

// One function per vector width that this machine has, the widest first. They give the same bits.
std::span<const ChannelSumsFunction> channel_sums_functions();

}  // namespace last
