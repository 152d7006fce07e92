#include "trainer/commands/export.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>

#include <boost/program_options/value_semantic.hpp>
#include <nlohmann/json.hpp>

#include "common/cli/log.h"
#include "common/cli/option_parser.h"
#include "common/cli/program.h"
#include "common/error.h"
#include "common/io/file.h"
#include "common/io/json_text.h"
#include "common/last/bundle.h"
#include "trainer/report/network_table_reader.h"
#include "trainer/report/run_checksums.h"

namespace fs = std::filesystem;
namespace po = boost::program_options;

namespace last {
namespace {

struct ExportOptions {
  std::string run, network, target, out;
};

std::optional<ExportOptions> parse_options(const std::vector<std::string>& arguments) {
  ExportOptions options;
  OptionParser parser("trainer export",
                      "copies one network, or an ensemble, of a run into a file that holds all "
                      "that is needed to use it");
  parser.group("Export").add_options()  //
      ("run", po::value(&options.run)->value_name("DIR"), "run directory (required)")(
          "network", po::value(&options.network)->value_name("WHICH"),
          "best | ensemble | a network's number in networks.csv (required)")(
          "target", po::value(&options.target)->value_name("NAME"),
          "whose best or ensemble, where the run has several targets")(
          "out", po::value(&options.out)->value_name("FILE.safetensors"),
          "file to write; one that is there is replaced (required)");
  if (!parser.parse(arguments)) return std::nullopt;
  if (options.run.empty()) fail_usage("--run is missing: name a run directory");
  if (options.network.empty()) fail_usage("--network is missing: best, ensemble or a number");
  if (options.out.empty()) fail_usage("--out is missing: name a file to write");
  return options;
}

std::vector<std::string> targets_of(const std::string& run) {
  const std::string path = run + "/config.json";
  if (!fs::exists(path)) fail("--run \"", run, "\" holds no run (it has no config.json)");
  check_run_tables(run);
  try {
    std::vector<std::string> names;
    const auto config = parse_json(read_text_file(path), "\"" + path + "\"");
    for (const auto& target : config.at("data").at("targets")) {
      names.push_back(target.at("name").get<std::string>());
    }
    return names;
  } catch (const nlohmann::json::exception& error) {
    fail("\"", path, "\" is damaged: ", error.what());
  }
}

// --target, or the run's only one.
std::string resolve_target(const ExportOptions& options, const std::vector<std::string>& targets) {
  std::string known;
  for (const auto& name : targets) known += (known.empty() ? "" : ", ") + name;
  if (options.target.empty()) {
    if (targets.size() == 1) return targets.front();
    fail_usage("the run has several targets (", known, "): name one with --target");
  }
  if (std::find(targets.begin(), targets.end(), options.target) == targets.end()) {
    fail_usage("--target: the run has no target \"", options.target, "\", only ", known);
  }
  return options.target;
}

[[noreturn]] void fail_without_best(const ExportOptions& options, const std::string& target) {
  if (!fs::exists(options.run + "/networks.csv")) {
    fail("\"", options.run,
         "\" is not finished, so it has no best network yet: run its command again to go on");
  }
  fail("\"", options.run, "\" has no best network for target \"", target,
       "\": either its networks diverged, or several settings were trained and no validation data "
       "(--val, --val-fraction) decide between them; name a network of networks.csv by its number");
}

[[noreturn]] void fail_without_network(const std::string& run, int64_t index,
                                       const std::vector<std::string>& targets) {
  if (fs::exists(run + "/networks.csv")) {
    for (const auto& row : read_network_table(run + "/networks.csv", targets)) {
      if (row.setting.index != index) continue;
      fail("--network ", index, ": ", to_string(row.progress.status), ", so \"", run,
           "\" keeps no file of it");
    }
  }
  fail("--network ", index, ": \"", run, "\" has no such network (networks.csv lists them)");
}

std::string source_of(const ExportOptions& options) {
  const auto targets = targets_of(options.run);
  if (options.network == "best" || options.network == "ensemble") {
    const auto target = resolve_target(options, targets);
    std::string path = options.run + "/" + options.network + "." + target + ".safetensors";
    if (fs::exists(path)) return path;
    if (options.network == "best") fail_without_best(options, target);
    fail("\"", options.run, "\" has no ensemble for target \"", target,
         "\" (trainer run --ensemble M makes one)");
  }
  int64_t index = 0;
  const auto& text = options.network;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (error != std::errc() || end != text.data() + text.size() || index < 0) {
    fail_usage("--network: \"", text, "\" is neither best nor ensemble nor a network's number");
  }
  if (!options.target.empty()) resolve_target(options, targets);
  std::string path = concat(options.run, "/networks/", index, ".safetensors");
  if (!fs::exists(path)) fail_without_network(options.run, index, targets);
  return path;
}

}  // namespace

int trainer_export(const std::vector<std::string>& arguments) {
  const auto options = parse_options(arguments);
  if (!options) return kExitDone;
  const std::string source = source_of(*options);
  const auto bundle = load_bundle(source);  // a damaged file is not passed on
  const auto& first = bundle.members.front();
  if (!options->target.empty() && first.target != options->target) {
    fail("--network ", options->network, " was trained for target \"", first.target,
         "\", not for \"", options->target, "\"");
  }
  write_file_atomically(options->out, read_text_file(source));
  log_info(concat(
      "\"", options->out, "\": ",
      bundle.members.size() == 1 ? "a network" : concat("an ensemble of ", bundle.members.size()),
      " for target \"", first.target, "\", ", first.parameters.head_bias.size(1),
      " classes, on top of ", first.backbone.name));
  return kExitDone;
}

}  // namespace last
