#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace last {

// Values of options. Every error is a UsageError that names the option and quotes the text.

// "a,b,c" -> {"a", "b", "c"}; an empty item is an error.
std::vector<std::string> parse_list(const std::string& option, const std::string& text);
int64_t parse_integer(const std::string& option, const std::string& text);
double parse_number(const std::string& option, const std::string& text);  // finite
bool parse_on_off(const std::string& option, const std::string& text);
std::vector<int64_t> parse_integers(const std::string& option, const std::string& text);
std::vector<double> parse_numbers(const std::string& option, const std::string& text);

// "512M", "8G", "1.5GiB", "4096" -> bytes; K, M, G, T are powers of 1024.
int64_t parse_size(const std::string& option, const std::string& text);
// "90", "90s", "30m", "2h", "1d", "1:30:00" -> seconds, at most 10 years.
double parse_duration(const std::string& option, const std::string& text);

// 3.9e9 -> "3.6 GiB"
std::string format_size(double bytes);
// 3725 -> "1 h 02 min", 42.3 -> "42 s"
std::string format_duration(double seconds);

// The candidate most like `text` (by edit distance); empty where none is near.
std::string nearest(const std::string& text, const std::vector<std::string>& candidates);

}  // namespace last
