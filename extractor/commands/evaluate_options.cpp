#include "extractor/commands/evaluate_options.h"

#include <boost/program_options/value_semantic.hpp>

#include "common/cli/parse.h"
#include "common/error.h"

namespace po = boost::program_options;

namespace last {

std::optional<EvaluateOptions> parse_evaluate_options(const std::vector<std::string>& arguments) {
  constexpr int64_t kMostClasses = 1000;
  EvaluateOptions options;
  std::string networks;
  OptionParser parser("extractor evaluate",
                      "classifies images with side networks, in one pass and without a store",
                      "For example:\n"
                      "  extractor evaluate --weights vit.safetensors --networks runs/first "
                      "--images new.csv --out answers");
  options.model.add(parser);
  options.images.add_without_defaults(parser);
  parser.group("Networks")
      .add_options()  //
      ("networks", po::value(&networks)->value_name("FILE_OR_RUN_DIR[,..]"),
       "networks, ensembles, run directories (for all their networks and ensembles) (required)");
  parser.group("Results").add_options()  //
      ("out", po::value(&options.out)->value_name("DIR"),
       "folder for predictions.csv, summary.csv, confusion.csv and bad.csv (required)")(
          "top-k", po::value(&options.top_k)->default_value(options.top_k)->value_name("K"),
          "classes per prediction, most probable first")(
          "allow-bad",
          po::value(&options.allow_bad)->default_value(options.allow_bad)->value_name("N"),
          "bad images that are no reason for exit status 3");
  options.device.add(parser);
  if (!parser.parse(arguments)) return std::nullopt;

  options.model.resolve();
  options.images.check();
  options.device.validate();
  if (networks.empty()) fail_usage("--networks FILE_OR_RUN_DIR is missing");
  options.networks = parse_list("--networks", networks);
  if (options.out.empty()) fail_usage("--out DIR is missing");
  if (options.top_k < 1 || options.top_k > kMostClasses) {
    fail_usage("--top-k ", options.top_k, ": 1 to ", kMostClasses, " is expected");
  }
  if (options.allow_bad < 0) fail_usage("--allow-bad ", options.allow_bad, ": at least 0");
  return options;
}

}  // namespace last
