#include "common/cli/option_parser.h"

#include <cstdio>
#include <fstream>

#include <boost/program_options/value_semantic.hpp>
#include <gtest/gtest.h>

#include "common/error.h"

namespace po = boost::program_options;

namespace last {
namespace {

struct Parsed {
  int number = 0;
  bool help_was_shown = false;
  bool given = false;
};

Parsed parse(const std::vector<std::string>& arguments) {
  Parsed parsed;
  OptionParser parser("program work", "works");
  parser.group("Numbers").add_options()(
      "number", po::value(&parsed.number)->default_value(5)->value_name("N"), "a number in metres");
  double ratio = 0;
  parser.group("Ratios").add_options()("ratio", po::value(&ratio), "a ratio");
  parsed.help_was_shown = !parser.parse(arguments);
  parsed.given = parser.given("number");
  return parsed;
}

TEST(OptionParser, KnowsDefaultsFromGivenValues) {
  EXPECT_EQ(parse({}).number, 5);
  EXPECT_FALSE(parse({}).given);
  EXPECT_EQ(parse({"--number", "7"}).number, 7);
  EXPECT_TRUE(parse({"--number=7"}).given);
}

TEST(OptionParser, HelpShowsUnitsAndDefaults) {
  testing::internal::CaptureStdout();
  EXPECT_TRUE(parse({"--help"}).help_was_shown);
  const std::string text = testing::internal::GetCapturedStdout();
  EXPECT_NE(text.find("--number N (=5)"), std::string::npos) << text;
  EXPECT_NE(text.find("a number in metres"), std::string::npos) << text;
  testing::internal::CaptureStdout();
  EXPECT_TRUE(parse({"-h"}).help_was_shown);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), text);
}

TEST(OptionParser, RefusesUnknownAndUnreadable) {
  EXPECT_THROW(parse({"--numbr", "7"}), UsageError);
  EXPECT_THROW(parse({"--num", "7"}), UsageError);  // no guessing from prefixes
  EXPECT_THROW(parse({"--number", "seven"}), UsageError);
  EXPECT_THROW(parse({"--number"}), UsageError);
  EXPECT_THROW(parse({"seven"}), UsageError);
  EXPECT_THROW(parse({"--config", "/nowhere/file.ini"}), Error);
}

std::string error_of(const std::vector<std::string>& arguments) {
  try {
    parse(arguments);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no error";
}

TEST(OptionParser, SaysWhatIsWrongInItsOwnWords) {
  const std::string help = "; see program work --help";
  EXPECT_EQ(error_of({"--number", "abc"}),
            "program work: --number: \"abc\" is not a whole number" + help);
  EXPECT_EQ(error_of({"--number", "') for option"}),
            "program work: --number: \"') for option\" is not a whole number" + help);
  // Boost's own message of this would never end.
  EXPECT_EQ(error_of({"--number", "%value%"}),
            "program work: --number: \"%value%\" is not a whole number" + help);
  EXPECT_EQ(error_of({"--ratio", "x"}), "program work: --ratio: \"x\" is not a number" + help);
  EXPECT_EQ(error_of({"--number"}), "program work: --number needs a value" + help);
  EXPECT_EQ(error_of({"--number", "7", "foo.h5"}),
            "program work: unexpected argument \"foo.h5\"" + help);
  EXPECT_EQ(error_of({"--", "foo.h5"}), "program work: unexpected argument \"foo.h5\"" + help);
}

TEST(OptionParser, TheCommandLineWinsOverTheFile) {
  const std::string path = testing::TempDir() + "/option_parser_test.ini";
  std::ofstream(path) << "number=9\n";
  EXPECT_EQ(parse({"--config", path}).number, 9);
  EXPECT_EQ(parse({"--config", path, "--number", "3"}).number, 3);
  std::remove(path.c_str());
}

TEST(OptionParser, RefusesAFolderAsConfiguration) {
  try {
    parse({"--config", testing::TempDir()});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("can't read the configuration"), std::string::npos);
  }
}

}  // namespace
}  // namespace last
