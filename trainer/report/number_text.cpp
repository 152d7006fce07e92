#include "trainer/report/number_text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace last {

std::string shortest(double value) {
  if (std::isnan(value)) return "";
  std::array<char, 40> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), end};
}

std::string fixed(double value, int decimals) {
  if (std::isnan(value)) return "";
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  return text.data();
}

}  // namespace last
