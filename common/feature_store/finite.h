#pragma once

#include <cstdint>
#include <optional>

#include <c10/core/ScalarType.h>

namespace last {

// Index of the first inf or NaN among `count` values of Half, BFloat16 or Float; nothing if all are
// finite. `data` is aligned to its elements.
std::optional<int64_t> first_non_finite(const void* data, int64_t count, c10::ScalarType dtype);

}  // namespace last
