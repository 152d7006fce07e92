#pragma once

#include <string>

namespace last {

// A field of a CSV file (RFC 4180): in quotes where it has to be.
std::string csv_field(const std::string& text);

}  // namespace last
