#pragma once

#include <cstdint>
#include <vector>

#include <nlohmann/json.hpp>

namespace last {

// A JSON value that must be an integer; anything else, 1e300 and 2.5 included, throws
// nlohmann::json::exception. (Its get<int64_t>() casts any number, which is undefined behaviour for
// those that don't fit.) Integers above 2^63 - 1 come out negative.
inline int64_t json_integer(const nlohmann::json& value) {
  return value.get_ref<const nlohmann::json::number_integer_t&>();
}

// An array of them.
inline std::vector<int64_t> json_integers(const nlohmann::json& values) {
  const auto& array = values.get_ref<const nlohmann::json::array_t&>();
  std::vector<int64_t> result;
  result.reserve(array.size());
  for (const auto& value : array) result.push_back(json_integer(value));
  return result;
}

}  // namespace last
