#include "trainer/report/page/page.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "common/error.h"
#include "common/io/checksum.h"

namespace last {
namespace {

std::string escaped_text(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

// JSON in which no character means anything to an HTML parser.
std::string json_for_html(const nlohmann::json& data) {
  std::string escaped;
  // Names that are not UTF-8 get replacement characters.
  for (const char c : data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)) {
    switch (c) {
      case '&':
        escaped += "\\u0026";
        break;
      case '<':
        escaped += "\\u003c";
        break;
      case '>':
        escaped += "\\u003e";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

using Placeholder = std::pair<std::string_view, std::string>;

// Replaces every {{NAME}} of the template once; what was put in is not looked at again.
std::string filled(std::string_view text, std::initializer_list<Placeholder> values) {
  std::string result;
  for (size_t begin = 0;;) {
    const size_t open = text.find("{{", begin);
    result += text.substr(begin, open - begin);
    if (open == std::string_view::npos) return result;
    const size_t close = text.find("}}", open);
    const auto name = text.substr(open + 2, close - open - 2);
    bool found = false;
    for (const auto& [key, value] : values) {
      if (key != name) continue;
      result += value;
      found = true;
    }
    if (!found) fail("the page has no value for {{", name, "}}");
    begin = close + 2;
  }
}

}  // namespace

std::string base64(std::span<const uint8_t> bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) group = group << 8 | (j < count ? bytes[i + j] : 0U);
    for (size_t j = 0; j < 4; ++j) {
      text += j <= count ? kDigits[group >> (18 - 6 * j) & 63] : '=';
    }
  }
  return text;
}

std::string html_page(const std::string& title, const std::string& text,
                      const nlohmann::json& data) {
  const std::string script = kPageScript;
  return filled(kPageHtml,
                {{"TITLE", escaped_text(title)},
                 {"STYLE", kPageStyle},
                 {"TEXT", escaped_text(text)},
                 {"DATA", json_for_html(data)},
                 {"SCRIPT", script},
                 {"SCRIPT_HASH", "sha256-" + base64(sha256(script.data(), script.size()))}});
}

}  // namespace last
