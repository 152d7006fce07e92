#include "common/cli/option_parser.h"

#include <algorithm>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <typeinfo>
#include <utility>

#include <boost/program_options/parsers.hpp>
#include <boost/program_options/value_semantic.hpp>
#include <boost/program_options/variables_map.hpp>

#include "common/cli/log.h"
#include "common/cli/parse.h"
#include "common/error.h"

namespace po = boost::program_options;

namespace last {
namespace {

constexpr unsigned kWidth = 100;

// A folder opens like a file, and only reading it fails; a pipe has no size that could be asked
// for.
std::istringstream read_config(const std::string& path) {
  std::ifstream file(path);
  if (!file) fail("can't open the configuration \"", path, "\"");
  std::string text;
  for (std::string line; std::getline(file, line);) text += line + '\n';
  if (!file.eof()) fail("can't read the configuration \"", path, "\": is it a file?");
  return std::istringstream(text);
}

std::string bare_name(const std::string& option) {
  const size_t start = option.find_first_not_of('-');
  return start == std::string::npos ? "" : option.substr(start);
}

// What boost's messages are made of, which only classes derived from theirs may see.
struct Substitutions : po::error_with_option_name {
  static const std::map<std::string, std::string>& of(const po::error_with_option_name& error) {
    return error.*(&Substitutions::m_substitutions);
  }
};

std::string quoted_value(const po::error_with_option_name& error) {
  const auto& parts = Substitutions::of(error);
  const auto value = parts.find("value");
  return value == parts.end() ? "the value" : concat("\"", value->second, "\"");
}

// Boost replaces "%value%" in its message as long as there is one: for ever, if it stands in the
// value. Such a part is said alone.
std::string message_of(const po::error& error) {
  if (const auto* parts = dynamic_cast<const po::error_with_option_name*>(&error)) {
    for (const auto& [name, text] : Substitutions::of(*parts)) {
      if (text.find(concat("%", name, "%")) != std::string::npos) {
        return concat("\"", text, "\" is not valid");
      }
    }
  }
  return error.what();
}

std::string expected_value(const po::options_description& options, const std::string& name) {
  const auto* option = options.find_nothrow(name, /*approx=*/false);
  const auto* value = option == nullptr
                          ? nullptr
                          : dynamic_cast<const po::typed_value_base*>(option->semantic().get());
  if (value == nullptr) return "not valid";
  const std::type_info& type = value->value_type();
  if (type == typeid(double) || type == typeid(float)) return "not a number";
  if (type == typeid(int) || type == typeid(int64_t)) return "not a whole number";
  return "not valid";
}

}  // namespace

OptionParser::OptionParser(std::string command, std::string summary, std::string notes)
    : command_(std::move(command)), summary_(std::move(summary)), notes_(std::move(notes)) {}

po::options_description& OptionParser::group(const std::string& name) {
  return groups_.emplace_back(name, kWidth, kWidth / 2);
}

std::vector<std::string> OptionParser::known_options() const {
  std::vector<std::string> names;
  for (const auto& group : groups_) {
    for (const auto& option : group.options()) names.push_back(option->long_name());
  }
  return names;
}

void OptionParser::print_help() const {
  std::cout << command_ << " - " << summary_ << "\n\nUsage: " << command_ << " [options]\n";
  if (!notes_.empty()) std::cout << notes_ << "\n";
  for (const auto& group : groups_) std::cout << "\n" << group;
}

bool OptionParser::parse(const std::vector<std::string>& arguments) {
  std::string config_file;
  bool quiet = false;
  bool help = false;
  group("General").add_options()  //
      ("config", po::value(&config_file)->value_name("FILE.ini"),
       "read options from a file of NAME=VALUE lines; the command line wins")              //
      ("quiet", po::bool_switch(&quiet), "no progress and no information, only warnings")  //
      ("help,h", po::bool_switch(&help), "show this text");

  po::options_description all;
  for (const auto& group : groups_) all.add(group);
  po::variables_map values;
  std::string source = command_;
  try {
    constexpr int kStyle =
        po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    const auto parsed = po::command_line_parser(arguments).options(all).style(kStyle).run();
    for (const po::option& option : parsed.options) {
      if (option.position_key < 0) continue;
      fail_usage(source, ": unexpected argument \"", option.value.front(), "\"; see ", command_,
                 " --help");
    }
    po::store(parsed, values);
    if (values["help"].as<bool>()) {
      print_help();
      return false;
    }
    if (values.count("config") != 0) {
      source = values["config"].as<std::string>();
      std::istringstream file = read_config(source);
      po::store(po::parse_config_file(file, all), values);
      source = command_;
    }
    for (const auto& [name, value] : values) {
      if (!value.defaulted()) given_.push_back(name);
    }
    po::notify(values);
  } catch (const po::unknown_option& error) {
    const std::string name = bare_name(error.get_option_name());
    const std::string guess = nearest(name, known_options());
    fail_usage(source, ": unknown option --", name,
               guess.empty() ? "" : " (did you mean --" + guess + "?)", "; see ", command_,
               " --help");
  } catch (const po::invalid_option_value& error) {
    const std::string name = bare_name(error.get_option_name());
    fail_usage(source, ": --", name, ": ", quoted_value(error), " is ", expected_value(all, name),
               "; see ", command_, " --help");
  } catch (const po::invalid_command_line_syntax& error) {
    const std::string name = bare_name(error.get_option_name());
    if (error.kind() != po::invalid_syntax::missing_parameter || name.empty()) {
      fail_usage(source, ": ", message_of(error), "; see ", command_, " --help");
    }
    fail_usage(source, ": --", name, " needs a value; see ", command_, " --help");
  } catch (const po::multiple_occurrences& error) {
    fail_usage(
        source, ": --", bare_name(error.get_option_name()),
        " is given more than once (where it takes several values, commas separate them); see ",
        command_, " --help");
  } catch (const po::error& error) {
    fail_usage(source, ": ", message_of(error), "; see ", command_, " --help");
  }
  set_quiet(quiet);
  return true;
}

bool OptionParser::given(const std::string& option) const {
  return std::find(given_.begin(), given_.end(), option) != given_.end();
}

}  // namespace last
