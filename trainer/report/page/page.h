#pragma once

#include <cstdint>
#include <span>
#include <string>

#include <nlohmann/json.hpp>

namespace last {

// The files of this folder: page.html with its {{PLACEHOLDERS}}, page.css, all scripts in order.
extern const char kPageHtml[];
extern const char kPageStyle[];
extern const char kPageScript[];

// One HTML page that needs nothing else. Names in it come from anywhere: the data are JSON that
// can't end its script element, the script puts them into the page as text, and the page's content
// security policy runs this script only and fetches nothing.
//   title and text (shown where there is no JavaScript) are plain text
std::string html_page(const std::string& title, const std::string& text,
                      const nlohmann::json& data);

std::string base64(std::span<const uint8_t> bytes);

}  // namespace last
