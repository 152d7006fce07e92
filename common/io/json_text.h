#pragma once

#include <algorithm>
#include <string_view>

#include <nlohmann/json.hpp>

namespace last {

// What a file from outside may nest: the library copies and writes values by recursion, and
// thousands of levels would overflow the stack.
inline constexpr int kDeepestJson = 64;

// Parses JSON from outside. A value that is_discarded() where it isn't valid JSON or is nested
// deeper than kDeepestJson.
inline nlohmann::json parse_json(std::string_view text) {
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
  using nlohmann::json;
  if (deepest > kDeepestJson) return json(json::value_t::discarded);
  return json::parse(text, nullptr, /*allow_exceptions=*/false);
}

}  // namespace last
