// Input: the file of --config. Its values go through every function that reads an option's value.

#include <functional>
#include <vector>

#include <boost/program_options/value_semantic.hpp>

#include "common/cli/option_parser.h"
#include "common/cli/parse.h"
#include "common/io/file.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace last;
  namespace po = boost::program_options;
  static const fuzz::Folder folder;
  write_file_atomically(folder / "run.ini", std::string(fuzz::text_of(data, size)));
  std::string list, integers, numbers, bytes, duration, on_off;
  std::vector<std::string> repeated;
  bool flag = false;
  bool parsed = false;
  fuzz::expect_result_or_error([&] {
    OptionParser parser("trainer run", "Reads options.");
    parser.group("Data").add_options()               //
        ("train", po::value(&list))                  //
        ("seed", po::value(&integers))               //
        ("rate", po::value(&numbers))                //
        ("memory", po::value(&bytes))                //
        ("time-limit", po::value(&duration))         //
        ("biases", po::value(&on_off))               //
        ("many", po::value(&repeated)->composing())  //
        ("dry-run", po::bool_switch(&flag));
    parsed = parser.parse({"--config", folder / "run.ini"});
  });
  if (!parsed) return 0;
  const std::function<void()> values[] = {
      [&] { parse_list("--train", list); },
      [&] { parse_integers("--seed", integers); },
      [&] { parse_numbers("--rate", numbers); },
      [&] {
        const int64_t size_in_bytes = parse_size("--memory", bytes);
        if (size_in_bytes < 0) __builtin_trap();
        format_size(static_cast<double>(size_in_bytes));
      },
      [&] {
        const double seconds = parse_duration("--time-limit", duration);
        if (!(seconds > 0 && seconds < 4e8)) __builtin_trap();
        format_duration(seconds);
      },
      [&] { parse_on_off("--biases", on_off); },
      [&] {
        nearest(list.substr(0, 40), {"train", "seed", "rate", "time-limit"});
      },
  };
  for (const auto& value : values) fuzz::expect_result_or_error(value);
  return 0;
}
