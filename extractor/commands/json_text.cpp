#include "extractor/commands/json_text.h"

#include <iostream>

#include <boost/program_options/value_semantic.hpp>

namespace last {
namespace {

constexpr auto kReplace = nlohmann::json::error_handler_t::replace;

}  // namespace

std::string json_text(const nlohmann::json& value) {
  if (!value.is_string()) return value.dump(-1, ' ', false, kReplace);
  // Names out of files must not move the terminal's cursor.
  std::string text;
  for (const char c : value.get_ref<const std::string&>()) {
    const bool is_control = static_cast<unsigned char>(c) < ' ' || c == '\x7f';
    text += is_control ? '?' : c;
  }
  return text;
}

void print_json(const nlohmann::json& value) {
  std::cout << value.dump(2, ' ', false, kReplace) << "\n";
}

void add_json_option(OptionParser& parser, bool* json) {
  parser.group("Output").add_options()("json", boost::program_options::bool_switch(json),
                                       "print JSON");
}

}  // namespace last
