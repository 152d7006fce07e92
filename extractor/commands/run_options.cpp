#include "extractor/commands/run_options.h"

#include <boost/program_options/value_semantic.hpp>

#include "common/cli/parse.h"
#include "common/error.h"
#include "common/feature_store/manifest.h"
#include "extractor/commands/layers.h"

namespace po = boost::program_options;

namespace last {
namespace {

// Options as they are typed.
struct Texts {
  std::string store = "fp16", augment = "none", shard = "0/1", time_limit;
  int64_t views = 1;
  int64_t augment_seed = 0;
};

void add_store_options(OptionParser& parser, ExtractorRunOptions& options, Texts& texts) {
  parser.group("Feature store")
      .add_options()  //
      ("cache", po::value(&options.cache)->value_name("NAME.h5"),
       "file to write; what an interrupted run left is resumed (required)")(
          "layers", po::value(&options.layers)->default_value(options.layers)->value_name("WHICH"),
          "all | every:G | 0,3,6,..: maps to store; 0 is before the first block")(
          "store", po::value(&texts.store)->default_value(texts.store)->value_name("NAME"),
          "fp16 | bf16 | fp32")(
          "reuse", po::value(&options.reuse)->value_name("OLD.h5"),
          "copy the rows of images whose bytes are unchanged from this store of the same options")(
          "thumbnails", po::bool_switch(&options.thumbnails),
          "keep a picture of 64x64 pixels per row, for reports")(
          "shard", po::value(&texts.shard)->default_value(texts.shard)->value_name("I/N|auto"),
          "extract part I of N (from 0) into its own file; auto: from Slurm, Open MPI or torchrun");
}

void add_view_options(OptionParser& parser, Texts& texts) {
  parser.group("Views").add_options()  //
      ("views", po::value(&texts.views)->default_value(texts.views)->value_name("V"),
       "rows per image; view 0 is the plain image")(
          "augment", po::value(&texts.augment)->default_value(texts.augment)->value_name("NAME"),
          "of the other views: none | flip | rrc-flip (random resized crop and flip)")(
          "augment-seed",
          po::value(&texts.augment_seed)->default_value(texts.augment_seed)->value_name("S"),
          "of the other views");
}

void add_run_options(OptionParser& parser, ExtractorRunOptions& options, Texts& texts) {
  parser.group("Run").add_options()  //
      ("allow-bad",
       po::value(&options.allow_bad)->default_value(options.allow_bad)->value_name("N"),
       "bad images that are no reason for exit status 3")(
          "time-limit", po::value(&texts.time_limit)->value_name("DURATION"),
          "stop after this long, resumable, e.g. 90m or 23h")(
          "dry-run", po::bool_switch(&options.dry_run),
          "say what would be done, how large and how long, and write nothing");
}

}  // namespace

std::optional<ExtractorRunOptions> parse_extractor_run_options(
    const std::vector<std::string>& arguments) {
  ExtractorRunOptions options;
  Texts texts;
  OptionParser parser("extractor run", "runs a frozen ViT over images and stores its maps",
                      "For example:\n"
                      "  extractor run --weights vit.safetensors --images train.csv --cache "
                      "train.h5");
  options.model.add(parser);
  options.images.add(parser);
  add_store_options(parser, options, texts);
  add_view_options(parser, texts);
  options.device.add(parser);
  add_run_options(parser, options, texts);
  if (!parser.parse(arguments)) return std::nullopt;

  options.model.resolve();
  options.preprocessing = options.images.resolve();
  options.resize_is_given = parser.given("resize");
  options.device.validate();
  if (options.cache.empty()) fail_usage("--cache NAME.h5 is missing");
  if (!options.cache.ends_with(".h5") || ("/" + options.cache).ends_with("/.h5")) {
    fail_usage("--cache ", options.cache, ": a name that ends in .h5 is expected");
  }
  if (options.reuse == options.cache) {
    fail_usage("--reuse ", options.reuse, ": another store than --cache is expected");
  }
  parse_layers(options.layers, 0);
  if (texts.store != "fp16" && texts.store != "bf16" && texts.store != "fp32") {
    fail_usage("--store ", texts.store, ": fp16, bf16 or fp32 is expected");
  }
  options.store = parse_dtype(texts.store, "--store");
  if (texts.views < 1 || texts.views > 10000) {
    fail_usage("--views ", texts.views, ": 1 to 10000 is expected");
  }
  if (texts.augment_seed < 0) fail_usage("--augment-seed ", texts.augment_seed, ": at least 0");
  options.views = {static_cast<int>(texts.views), parse_augmentation(texts.augment),
                   static_cast<uint64_t>(texts.augment_seed)};
  options.views.validate();
  options.shard = parse_task_part("--shard", texts.shard);
  if (options.allow_bad < 0) fail_usage("--allow-bad ", options.allow_bad, ": at least 0");
  if (!texts.time_limit.empty()) {
    options.time_limit = parse_duration("--time-limit", texts.time_limit);
  }
  return options;
}

}  // namespace last
