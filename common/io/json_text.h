#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "common/error.h"

namespace last {

// What a file from outside may nest: the library copies and writes values by recursion, and
// thousands of levels would overflow the stack.
inline constexpr int kDeepestJson = 64;

inline int json_depth(std::string_view text) {
  int depth = 0, deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') {
      ++i;  // what is escaped ends nothing
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '[' || c == '{')) {
      deepest = std::max(deepest, ++depth);
    } else if (!in_string && (c == ']' || c == '}')) {
      --depth;
    }
  }
  return deepest;
}

// Parses JSON from outside. A value that is_discarded() where it isn't valid JSON or is nested
// deeper than kDeepestJson.
inline nlohmann::json parse_json(std::string_view text) {
  using nlohmann::json;
  if (json_depth(text) > kDeepestJson) return json(json::value_t::discarded);
  return json::parse(text, nullptr, /*allow_exceptions=*/false);
}

// The same; what is wrong is an Error: `place` is damaged, why, and the remedy where one is given.
inline nlohmann::json parse_json(std::string_view text, const std::string& place,
                                 const std::string& remedy = "") {
  const std::string end = remedy.empty() ? "" : "; " + remedy;
  if (json_depth(text) > kDeepestJson) {
    fail(place, " is damaged: JSON that is nested deeper than ", kDeepestJson, " levels", end);
  }
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    fail(place, " is damaged: ", error.what(), end);
  }
}

}  // namespace last
