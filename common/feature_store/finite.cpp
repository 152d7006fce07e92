#include "common/feature_store/finite.h"

#include <algorithm>

#include "common/error.h"

namespace last {
namespace {

// A value is inf or NaN where all bits of its exponent are set. Whole blocks are judged without a
// branch, so that the compiler turns the inner loop into vector instructions.
template <class Bits>
std::optional<int64_t> find(const Bits* values, int64_t count, Bits exponent) {
  constexpr int64_t kBlock = 4096;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, count);
    Bits found = 0;
    for (int64_t i = begin; i < end; ++i) {
      found |= static_cast<Bits>((values[i] & exponent) == exponent);
    }
    if (found == 0) continue;
    return std::find_if(values + begin, values + end,
                        [=](Bits value) { return (value & exponent) == exponent; }) -
           values;
  }
  return std::nullopt;
}

}  // namespace

std::optional<int64_t> first_non_finite(const void* data, int64_t count, c10::ScalarType dtype) {
  switch (dtype) {
    case c10::ScalarType::Half:
      return find<uint16_t>(static_cast<const uint16_t*>(data), count, 0x7c00);
    case c10::ScalarType::BFloat16:
      return find<uint16_t>(static_cast<const uint16_t*>(data), count, 0x7f80);
    case c10::ScalarType::Float:
      return find<uint32_t>(static_cast<const uint32_t*>(data), count, 0x7f800000);
    default:
      fail("no feature type ", c10::toString(dtype), "; known: fp16, bf16, fp32");
  }
}

}  // namespace last
