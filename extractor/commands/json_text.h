#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "common/cli/option_parser.h"

namespace last {

// Strings without quotes and control characters, anything else as JSON; there, bytes that aren't
// UTF-8 are replaced.
std::string json_text(const nlohmann::json& value);

// To standard output, indented.
void print_json(const nlohmann::json& value);

void add_json_option(OptionParser& parser, bool* json);

}  // namespace last
