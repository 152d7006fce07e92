#include "extractor/commands/json_text.h"

#include <iostream>

#include <boost/program_options/value_semantic.hpp>

namespace last {
namespace {

constexpr auto kReplace = nlohmann::json::error_handler_t::replace;

}  // namespace

std::string json_text(const nlohmann::json& value) {
  if (!value.is_string()) return value.dump(-1, ' ', false, kReplace);
  // Names out of files must not move the terminal's cursor. Besides ASCII's there are the control
  // characters U+0080 to U+009F: in UTF-8 the byte C2 and one below A0.
  std::string text = value.get_ref<const std::string&>();
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool follows_c2 = i > 0 && text[i - 1] == '\xc2' && byte >= 0x80 && byte < 0xa0;
    if (byte < ' ' || byte == 0x7f || follows_c2) text[i] = '?';
    if (follows_c2) text[i - 1] = '?';
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
