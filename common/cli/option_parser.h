#pragma once

#include <list>
#include <string>
#include <vector>

#include <boost/program_options/options_description.hpp>

namespace last {

// The options of one command, in groups, read from the command line and from --config FILE.ini (the
// command line wins). Adds --config, --quiet and --help.
//
//   OptionParser parser("trainer run", "Trains side networks from feature stores.");
//   parser.group("Data").add_options()("train", value(&train)->required(), "...");
//   if (!parser.parse(arguments)) return 0;  // --help was printed
class OptionParser {
 public:
  // notes: what --help says before the options
  OptionParser(std::string command, std::string summary, std::string notes = "");

  boost::program_options::options_description& group(const std::string& name);

  // False where --help was asked for and printed. A UsageError names an unknown option and the
  // nearest known one, or the value that can't be read.
  bool parse(const std::vector<std::string>& arguments);

  // Options given on the command line or in the file, without defaults.
  bool given(const std::string& option) const;

 private:
  void print_help() const;
  std::vector<std::string> known_options() const;

  std::string command_;
  std::string summary_;
  std::string notes_;
  std::list<boost::program_options::options_description> groups_;
  std::vector<std::string> given_;
};

}  // namespace last
