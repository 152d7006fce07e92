#pragma once

#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

namespace last {

// JSON has no NaN: what was not measured is null.
template <class Json = nlohmann::json>
Json json_number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

inline double number_from_json(const nlohmann::json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

}  // namespace last
