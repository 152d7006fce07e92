#include "common/cli/parse.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <sstream>

#include "common/error.h"
#include "common/io/edit_distance.h"

namespace last {
namespace {

// The number at the start of `text`, and what follows it.
double leading_number(const std::string& option, const std::string& text, std::string& rest) {
  size_t used = 0;
  double value = 0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || !std::isfinite(value) || std::isspace(static_cast<unsigned char>(text[0]))) {
    fail_usage(option, ": \"", text, "\" is not a number");
  }
  rest = text.substr(used);
  return value;
}

template <class Value, class Parse>
std::vector<Value> parse_each(const std::string& option, const std::string& text, Parse parse) {
  std::vector<Value> values;
  for (const auto& item : parse_list(option, text)) values.push_back(parse(option, item));
  return values;
}

}  // namespace

std::vector<std::string> parse_list(const std::string& option, const std::string& text) {
  std::vector<std::string> items;
  std::stringstream stream(text);
  for (std::string item; std::getline(stream, item, ',');) items.push_back(item);
  if (text.empty() || text.back() == ',') items.emplace_back();
  for (const auto& item : items) {
    if (item.empty()) fail_usage(option, ": an item of the list \"", text, "\" is empty");
  }
  return items;
}

int64_t parse_integer(const std::string& option, const std::string& text) {
  size_t used = 0;
  int64_t value = 0;
  try {
    value = std::stoll(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != text.size() || std::isspace(static_cast<unsigned char>(text[0]))) {
    fail_usage(option, ": \"", text, "\" is not an integer");
  }
  return value;
}

double parse_number(const std::string& option, const std::string& text) {
  std::string rest;
  const double value = leading_number(option, text, rest);
  if (!rest.empty()) fail_usage(option, ": \"", text, "\" is not a number");
  return value;
}

bool parse_on_off(const std::string& option, const std::string& text) {
  if (text == "on") return true;
  if (text == "off") return false;
  fail_usage(option, ": \"", text, "\" is neither on nor off");
}

std::vector<int64_t> parse_integers(const std::string& option, const std::string& text) {
  return parse_each<int64_t>(option, text, parse_integer);
}

std::vector<double> parse_numbers(const std::string& option, const std::string& text) {
  return parse_each<double>(option, text, parse_number);
}

int64_t parse_size(const std::string& option, const std::string& text) {
  std::string unit;
  const double number = leading_number(option, text, unit);
  static const std::string kPrefixes = "KMGT";
  int power = 0;
  if (!unit.empty()) {
    const auto found = kPrefixes.find(static_cast<char>(std::toupper(unit[0])));
    const std::string rest = unit.substr(1);
    if (found != std::string::npos && (rest.empty() || rest == "B" || rest == "iB")) {
      power = static_cast<int>(found) + 1;
    } else if (unit != "B") {
      fail_usage(option, ": \"", text, "\" is not a size (examples: 512M, 8G)");
    }
  }
  const double bytes = number * std::pow(1024.0, power);
  if (bytes < 0 || bytes > 9e18) fail_usage(option, ": \"", text, "\" is out of range");
  return static_cast<int64_t>(bytes);
}

double parse_duration(const std::string& option, const std::string& text) {
  std::string unit;
  double seconds = leading_number(option, text, unit);
  if (!unit.empty() && unit[0] == ':') {
    int fields = 1;
    while (!unit.empty() && unit[0] == ':') {
      seconds = seconds * 60 + leading_number(option, unit.substr(1), unit);
      ++fields;
    }
    if (fields == 2) seconds *= 60;  // H:MM
    if (fields > 3) unit = "?";
  } else {
    static constexpr std::array<std::pair<const char*, int>, 6> kUnits{
        {{"", 1}, {"s", 1}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}}};
    const auto* found = std::find_if(kUnits.begin(), kUnits.end(),
                                     [&](const auto& entry) { return unit == entry.first; });
    if (found != kUnits.end()) {
      seconds *= found->second;
      unit.clear();
    }
  }
  if (!unit.empty() || seconds <= 0) {
    fail_usage(option, ": \"", text, "\" is not a duration (examples: 90s, 30m, 2h, 1:30:00)");
  }
  // Far from where the clock's 64-bit nanoseconds overflow.
  constexpr double kTenYears = 10 * 365.25 * 86400;
  if (seconds > kTenYears) fail_usage(option, ": \"", text, "\" is more than 10 years");
  return seconds;
}

std::string format_size(double bytes) {
  static constexpr std::array<const char*, 5> kUnits = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes,
                kUnits[unit]);
  return text.data();
}

std::string format_duration(double seconds) {
  std::array<char, 32> text{};
  if (seconds < 9.95) {
    std::snprintf(text.data(), text.size(), "%.1f s", seconds);
  } else if (seconds < 99.5) {
    std::snprintf(text.data(), text.size(), "%.0f s", seconds);
  } else if (seconds < 3600) {
    const auto total = std::llround(seconds);
    std::snprintf(text.data(), text.size(), "%lld min %02lld s", total / 60, total % 60);
  } else {
    const auto minutes = std::llround(seconds / 60);
    std::snprintf(text.data(), text.size(), "%lld h %02lld min", minutes / 60, minutes % 60);
  }
  return text.data();
}

std::string nearest(const std::string& text, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, text.size() / 3) + 1;
  for (const auto& candidate : candidates) {
    const size_t distance = edit_distance(text, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace last
