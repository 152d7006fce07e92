#include "trainer/commands/run_options.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include <boost/program_options/value_semantic.hpp>

#include "common/cli/option_parser.h"
#include "common/cli/parse.h"
#include "common/cli/task_array.h"
#include "common/error.h"
#include "trainer/commands/presets.h"

namespace po = boost::program_options;

namespace last {
namespace {

constexpr int64_t kMostEpochs = 1'000'000;
constexpr int64_t kMostModules = 64;  // per block
constexpr int64_t kMostMembers = 1000;

// Options as they are typed; lists are split later, so that errors can name them.
struct Texts {
  std::string train, val, test, target;
  std::string val_fraction;
  std::string method = "last", rank = "16", gap = "1", heads = "1", modules = "1", variant = "d";
  std::string bias_correction = "on", biases = "off", pool = "mean-patch", norm = "frozen";
  std::string learning_rate = "1e-3", head_scale = "1", weight_decay = "0.05";
  std::string label_smoothing = "0", seed = "0";
  std::string data_seed = "0", epochs = "100", warmup_epochs = "10", batch_size = "32";
  std::string search = "grid", retrain = "none", retrain_seeds = "0,1,2", ensemble = "0";
  std::string preset, select;
  std::string precision = "auto", threads = "0", memory, time_limit, part;
  std::string checkpoint_every = "30s";
};

void add(po::options_description& group, const char* name, std::string& text, const char* unit,
         const char* help) {
  auto* value = po::value(&text)->value_name(unit);
  if (!text.empty()) value->default_value(text);
  group.add_options()(name, value, help);
}

void add_data_options(po::options_description& group, Texts& t, RunOptions& options) {
  add(group, "train", t.train, "CACHE[,..]",
      "feature stores to train on; rows of several are taken together (required)");
  add(group, "val", t.val, "CACHE[,..]", "feature stores to choose settings on");
  add(group, "val-fraction", t.val_fraction, "F",
      "instead of --val: put this part of each class of --train (of its first target) aside, drawn "
      "with --data-seed; split.csv in --run says which images");
  add(group, "test", t.test, "CACHE[,..]", "feature stores to test on, once, at the end");
  group.add_options()("run", po::value(&options.run)->value_name("DIR"),
                      "directory for everything this run writes; an interrupted run in it is "
                      "resumed (required)");
  group.add_options()("labels", po::value(&options.labels)->value_name("FILE.csv"),
                      "labels by sample id, for all stores: path,NAME,NAME.. as in an image list; "
                      "they replace the stores' labels, or add columns to them");
  add(group, "target", t.target, "NAME[,..]", "label columns to learn (default: all)");
}

void add_network_options(po::options_description& group, Texts& t) {
  add(group, "method", t.method, "LIST", "last | linear (a linear probe on pooled final tokens)");
  add(group, "rank", t.rank, "LIST", "channels r of the low-rank attention");
  add(group, "gap", t.gap, "LIST", "backbone blocks between two maps that are read");
  add(group, "heads", t.heads, "LIST", "attention heads; they divide the rank");
  add(group, "modules", t.modules, "LIST", "attention modules per block");
  add(group, "variant", t.variant, "LIST",
      "d: block i sees z_0+..+z_i | b: one map less | c: as d, one more block in front");
  add(group, "bias-correction", t.bias_correction, "LIST", "on | off (off: for ablations)");
  add(group, "biases", t.biases, "LIST", "on | off: biases in the attention's projections");
  add(group, "pool", t.pool, "LIST",
      "the vector that the head sees: mean-patch (mean of the patch tokens) | cls (the class "
      "token) | mean-all (mean of all tokens)");
  add(group, "norm", t.norm, "LIST", "final LayerNorm: frozen (the backbone's) | trainable | none");
}

void add_training_options(po::options_description& group, Texts& t) {
  add(group, "learning-rate", t.learning_rate, "LIST", "peak learning rate of AdamW");
  add(group, "head-learning-rate-scale", t.head_scale, "LIST",
      "the head's learning rate is this times the rest's");
  add(group, "weight-decay", t.weight_decay, "LIST", "of everything but biases");
  add(group, "label-smoothing", t.label_smoothing, "LIST", "0 up to, but not including, 1");
  add(group, "seed", t.seed, "LIST", "of the initial weights");
  add(group, "data-seed", t.data_seed, "N", "of the order of batches");
  add(group, "epochs", t.epochs, "N", "epochs in all");
  add(group, "warmup-epochs", t.warmup_epochs, "N",
      "epochs of them with a rising learning rate, which then falls in a cosine");
  add(group, "batch-size", t.batch_size, "N",
      "images per step; in each epoch, other images are left over and left out");
}

void add_search_options(po::options_description& group, Texts& t, const std::string& presets) {
  add(group, "preset", t.preset, "NAME", presets.c_str());
  add(group, "search", t.search, "HOW",
      "grid: all networks | random:N: N settings of each method, drawn with --data-seed, the same "
      "ones for every target, with all their seeds | halving: all start, and the worse settings of "
      "each target and method stop early, by validation accuracy; the others are trained as ever");
}

void add_selection_options(po::options_description& group, Texts& t) {
  add(group, "select", t.select, "HOW",
      "val: the setting with the highest mean validation accuracy over its seeds after the last "
      "epoch, of equal ones that with the lowest mean loss, then fewer parameters, then the first "
      "| last: choose nothing, and report "
      "every setting after its last epoch (default: val "
      "where there is validation data, else last)");
  add(group, "retrain", t.retrain, "WHAT",
      "none | train+val: train the best setting of each target and method again on both, and test "
      "only that");
  add(group, "retrain-seeds", t.retrain_seeds, "LIST", "seeds of the retrained networks");
  add(group, "ensemble", t.ensemble, "M",
      "networks of any method whose mean of probabilities answers together, per target, chosen on "
      "val one after the other; one may be chosen again; 0: none. With --retrain they are "
      "trained again as well, each with its own setting and seed");
}

void add_machine_options(po::options_description& group, Texts& t, RunOptions& options) {
  group.add_options()("device",
                      po::value(&options.device)->default_value("auto")->value_name("NAME"),
                      "auto | cpu | cuda | cuda:N");
  add(group, "precision", t.precision, "WHAT",
      "of training's matrix products: auto (bf16 on CPUs with AMX, else fp32) | fp32 | bf16, and "
      "on GPUs tf32 | fp16");
  add(group, "threads", t.threads, "N", "CPU threads; 0: all processors");
  add(group, "memory", t.memory, "SIZE",
      "memory that may be taken, of the GPU with --device cuda; features that don't fit beside the "
      "networks are streamed from disk at every epoch, those that don't fit into a GPU are held in "
      "the machine's memory where that can (default: half of what is free, or 80 % of the GPU's)");
  add(group, "part", t.part, "I/N|auto",
      "train only part I (from 0) of N of the grid, every N-th network; `trainer merge` joins the "
      "parts. auto: I and N of a Slurm array, Open MPI or torchrun, and --run DIR becomes "
      "DIR.0000I-of-0000N");
  add(group, "time-limit", t.time_limit, "DURATION",
      "stop, resumable, after this time (90s, 30m, 2h)");
  add(group, "checkpoint-every", t.checkpoint_every, "DURATION",
      "save the training's state after this time, at the end of an epoch after 5 s; more seldom "
      "where saving takes long");
  group.add_options()("dry-run", po::bool_switch(&options.dry_run),
                      "show what would be trained and what it costs, and write nothing");
}

template <class Value, class Parse>
std::vector<Value> parse_each(const char* option, const std::string& text, Parse parse) {
  std::vector<Value> values;
  for (const auto& item : parse_list(option, text)) values.push_back(parse(item));
  return values;
}

template <class Value>
void check_unique(const char* option, const std::vector<Value>& values) {
  if (std::set<Value>(values.begin(), values.end()).size() != values.size()) {
    fail_usage(option, ": a value stands in the list twice");
  }
}

template <class Value, class Valid>
void check_each(const char* option, const std::vector<Value>& values, Valid valid,
                const char* range) {
  check_unique(option, values);
  for (const auto& value : values) {
    if (!valid(value)) fail_usage(option, ": ", value, " is not ", range);
  }
}

SearchSpace parse_space(const Texts& t) {
  SearchSpace space;
  const auto on_off = [](const char* option) {
    return [option](const std::string& item) { return parse_on_off(option, item); };
  };
  space.methods = parse_each<Method>("--method", t.method, parse_method);
  space.ranks = parse_integers("--rank", t.rank);
  space.gaps = parse_integers("--gap", t.gap);
  space.heads = parse_integers("--heads", t.heads);
  space.modules = parse_integers("--modules", t.modules);
  space.variants = parse_each<Variant>("--variant", t.variant, parse_variant);
  space.bias_corrections =
      parse_each<bool>("--bias-correction", t.bias_correction, on_off("--bias-correction"));
  space.biases = parse_each<bool>("--biases", t.biases, on_off("--biases"));
  space.pools = parse_each<Pool>("--pool", t.pool, parse_pool);
  space.norms = parse_each<FinalNorm>("--norm", t.norm, parse_final_norm);
  space.learning_rates = parse_numbers("--learning-rate", t.learning_rate);
  space.head_learning_rate_scales = parse_numbers("--head-learning-rate-scale", t.head_scale);
  space.weight_decays = parse_numbers("--weight-decay", t.weight_decay);
  space.label_smoothings = parse_numbers("--label-smoothing", t.label_smoothing);
  space.seeds = parse_integers("--seed", t.seed);

  check_unique("--method", space.methods);
  check_unique("--variant", space.variants);
  check_unique("--bias-correction", space.bias_corrections);
  check_unique("--biases", space.biases);
  check_unique("--pool", space.pools);
  check_unique("--norm", space.norms);
  const auto positive = [](auto value) { return value > 0; };
  check_each("--rank", space.ranks, positive, "at least 1");
  check_each("--gap", space.gaps, positive, "at least 1");
  check_each("--heads", space.heads, positive, "at least 1");
  check_each(
      "--modules", space.modules, [](int64_t v) { return v > 0 && v <= kMostModules; }, "in 1..64");
  check_each("--learning-rate", space.learning_rates, positive, "positive");
  check_each("--head-learning-rate-scale", space.head_learning_rate_scales, positive, "positive");
  check_each(
      "--weight-decay", space.weight_decays, [](double v) { return v >= 0; }, "0 or more");
  check_each(
      "--label-smoothing", space.label_smoothings, [](double v) { return v >= 0 && v < 1; },
      "in 0..1, 1 excluded");
  check_each(
      "--seed", space.seeds, [](int64_t v) { return v >= 0; }, "0 or more");
  if (space.methods == std::vector<Method>{Method::kLinear}) return space;
  for (const int64_t heads : space.heads) {
    for (const int64_t rank : space.ranks) {
      if (rank % heads != 0) {
        fail_usage("--heads: ", heads, " does not divide --rank ", rank);
      }
    }
  }
  return space;
}

// Sets the options of a preset but for those that were given.
void apply_preset(const Preset& preset, const std::function<bool(const std::string&)>& given,
                  Texts& texts) {
  static const std::map<std::string, std::string Texts::*> kTexts = {
      {"method", &Texts::method},
      {"rank", &Texts::rank},
      {"gap", &Texts::gap},
      {"pool", &Texts::pool},
      {"learning-rate", &Texts::learning_rate},
      {"head-learning-rate-scale", &Texts::head_scale},
      {"weight-decay", &Texts::weight_decay},
      {"label-smoothing", &Texts::label_smoothing},
      {"epochs", &Texts::epochs},
      {"warmup-epochs", &Texts::warmup_epochs},
      {"search", &Texts::search},
  };
  for (const auto& [name, value] : preset.options) {
    if (!given(name)) texts.*kTexts.at(name) = value;
  }
}

// What --help says of the presets: their options, and what these come to.
std::string describe_presets() {
  std::string text =
      "a search space; options given explicitly override it. The linear probes, which show what "
      "the side networks gain, cost nearly nothing.";
  for (const auto& preset : presets()) {
    Texts texts;
    apply_preset(
        preset, [](const std::string&) { return false; }, texts);
    std::string options;
    for (const auto& [name, value] : preset.options) options += " --" + name + " " + value;
    const auto grid = make_grid(parse_space(texts), 1);
    const auto probes = std::count_if(grid.begin(), grid.end(), [](const Setting& setting) {
      return setting.network.method == Method::kLinear;
    });
    text += concat("\n", preset.name, ": ", preset.purpose, "; ",
                   static_cast<int64_t>(grid.size()) - probes, " side networks and ", probes,
                   " linear probes per target, ", texts.epochs, " epochs:", options);
  }
  return text;
}

// warmup_source: what said --warmup-epochs, for people: "", or " (the default)".
Schedule parse_schedule(const Texts& t, const std::string& warmup_source) {
  const auto single = [](const char* option, const std::string& text) {
    if (text.find(',') != std::string::npos) {
      fail_usage(option, ": \"", text,
                 "\" is a list, but the networks of a run share every batch: give one value");
    }
    return parse_integer(option, text);
  };
  const Schedule schedule{single("--epochs", t.epochs), single("--warmup-epochs", t.warmup_epochs),
                          single("--batch-size", t.batch_size), single("--data-seed", t.data_seed)};
  if (schedule.epochs < 1 || schedule.epochs > kMostEpochs) {
    fail_usage("--epochs: ", schedule.epochs, " is not in 1..", kMostEpochs);
  }
  if (schedule.warmup_epochs < 0) {
    fail_usage("--warmup-epochs: ", schedule.warmup_epochs, " is negative");
  }
  if (schedule.warmup_epochs >= schedule.epochs) {
    const int64_t most = schedule.epochs - 1;
    const std::string choices = most == 0   ? "0"
                                : most == 1 ? "0 or 1"
                                : most == 2 ? "0, 1 or 2"
                                            : concat("0..", most);
    fail_usage("--warmup-epochs ", schedule.warmup_epochs, warmup_source,
               " is too long for --epochs ", schedule.epochs,
               ", which counts it in: give "
               "--warmup-epochs ",
               choices);
  }
  if (schedule.batch_size < 1) {
    fail_usage("--batch-size: ", schedule.batch_size, " is not at least 1");
  }
  if (schedule.data_seed < 0) fail_usage("--data-seed: ", schedule.data_seed, " is negative");
  return schedule;
}

void parse_data(const Texts& t, RunOptions& options) {
  if (t.train.empty()) fail_usage("--train is missing: name at least one feature store");
  if (options.run.empty()) fail_usage("--run is missing: name a directory for the results");
  options.train = parse_list("--train", t.train);
  if (!t.val.empty()) options.val = parse_list("--val", t.val);
  if (!t.test.empty()) options.test = parse_list("--test", t.test);
  check_unique("--train", options.train);
  check_unique("--val", options.val);
  check_unique("--test", options.test);
  if (!t.target.empty()) options.targets = parse_list("--target", t.target);
  if (!t.val_fraction.empty()) {
    options.val_fraction = parse_number("--val-fraction", t.val_fraction);
    if (options.val_fraction <= 0 || options.val_fraction >= 1) {
      fail_usage("--val-fraction: ", t.val_fraction, " is not between 0 and 1");
    }
    if (!options.val.empty()) fail_usage("--val and --val-fraction exclude each other");
  }
}

// Whether a method has more than one setting, seeds apart.
bool has_choice(const SearchSpace& space) {
  const auto grid = make_grid(space, 1);
  for (size_t i = 1; i < grid.size(); ++i) {
    if (grid[i].network.method == grid[i - 1].network.method &&
        !same_but_for_seed(grid[i], grid[i - 1])) {
      return true;
    }
  }
  return false;
}

bool has_val(const RunOptions& options) { return !options.val.empty() || options.val_fraction > 0; }

void parse_selection(const Texts& t, RunOptions& options) {
  constexpr char kNeedsVal[] = " needs --val or --val-fraction to choose on";
  options.search = parse_search(t.search);
  if (!t.select.empty() && t.select != "val" && t.select != "last") {
    fail_usage("--select: \"", t.select, "\" is neither val nor last");
  }
  if (t.select == "val" && !has_val(options)) fail_usage("--select val", kNeedsVal);
  options.select = t.select == "last" || !has_val(options) ? Selection::kLast : Selection::kVal;
  if (options.search.kind == SearchKind::kHalving) {
    if (!has_val(options)) fail_usage("--search halving", kNeedsVal);
    if (options.select == Selection::kLast) {
      fail_usage("--search halving chooses, --select last does not: drop one of them");
    }
  }
  options.ensemble = parse_integer("--ensemble", t.ensemble);
  if (options.ensemble < 0 || options.ensemble > kMostMembers) {
    fail_usage("--ensemble: ", options.ensemble, " is not in 0..", kMostMembers);
  }
  if (options.ensemble > 0) {
    if (!has_val(options)) fail_usage("--ensemble", kNeedsVal);
    if (options.select == Selection::kLast) {
      fail_usage("--ensemble chooses, --select last does not: drop one of them");
    }
  }
  if (t.retrain != "none" && t.retrain != "train+val") {
    fail_usage("--retrain: \"", t.retrain, "\" is neither none nor train+val");
  }
  options.retrain = t.retrain == "train+val";
  if (options.retrain && !has_val(options)) fail_usage("--retrain train+val", kNeedsVal);
  if (options.retrain && options.select == Selection::kLast && has_choice(options.space)) {
    fail_usage(
        "--retrain trains what is chosen again, but --select last chooses none of several "
        "settings: give one value to each option, or choose with --select val");
  }
}

// Without a rung halving would be the full grid, which is not what was asked for.
void check_halving(const RunOptions& options) {
  if (options.search.kind != SearchKind::kHalving || !rungs_of(options).empty()) return;
  fail_usage("--search halving",
             options.preset.empty() ? "" : " (of --preset " + options.preset + ")", ": ",
             options.schedule.epochs, " epochs with ", options.schedule.warmup_epochs,
             " of warm-up leave none after which networks could be stopped: give more --epochs, or "
             "--search grid");
}

void parse_part(const std::string& text, RunOptions& options) {
  if (text.empty()) return;
  const auto [index, count] = parse_task_part("--part", text);
  options.part = {index, count};
  if (text == "auto") options.run = part_directory(options.run, options.part);
  if (options.part.is_whole()) return;
  if (options.ensemble > 0) {
    fail_usage(
        "--ensemble chooses among all networks, a --part trains only its own: train and merge the "
        "parts without it, then run the best settings with --ensemble in one run");
  }
  if (options.search.kind == SearchKind::kHalving) {
    fail_usage(
        "--search halving compares all networks while they train, a --part sees only its own: "
        "search the grid, or at random, in parts");
  }
}

}  // namespace

std::optional<RunOptions> parse_run_options(const std::vector<std::string>& arguments) {
  RunOptions options;
  Texts texts;
  const std::string preset_help = describe_presets();
  OptionParser parser("trainer run",
                      "trains a grid of side networks and linear probes on cached features",
                      "CACHE is a feature store, NAME.h5 as `extractor run` writes it. Values of\n"
                      "[,..] and LIST are separated by commas. For example:\n"
                      "  trainer run --train train.h5 --val val.h5 --run runs/first --rank 8,16");
  add_data_options(parser.group("Data"), texts, options);
  add_network_options(parser.group("Network (each takes a list; lists span the grid)"), texts);
  add_training_options(
      parser.group("Training (rates, decay, smoothing, scale and seed take lists)"), texts);
  add_search_options(parser.group("Search"), texts, preset_help);
  add_selection_options(parser.group("Selection"), texts);
  add_machine_options(parser.group("Machine"), texts, options);
  if (!parser.parse(arguments)) return std::nullopt;
  if (!texts.preset.empty()) {
    apply_preset(
        find_preset(texts.preset), [&](const std::string& name) { return parser.given(name); },
        texts);
    options.preset = texts.preset;
  }

  parse_data(texts, options);
  options.space = parse_space(texts);
  options.schedule =
      parse_schedule(texts, parser.given("warmup-epochs") ? ""
                            : texts.preset.empty()        ? " (the default)"
                                                          : " (of --preset " + texts.preset + ")");
  parse_selection(texts, options);
  check_halving(options);
  if (parser.given("retrain-seeds") && !options.retrain) {
    fail_usage("--retrain-seeds: nothing is retrained without --retrain train+val");
  }
  options.retrain_seeds = parse_integers("--retrain-seeds", texts.retrain_seeds);
  check_each(
      "--retrain-seeds", options.retrain_seeds, [](int64_t v) { return v >= 0; }, "0 or more");
  parse_part(texts.part, options);
  options.precision = parse_precision(texts.precision);
  options.threads = parse_integer("--threads", texts.threads);
  if (!texts.memory.empty()) options.memory = parse_size("--memory", texts.memory);
  options.checkpoint_every = parse_duration("--checkpoint-every", texts.checkpoint_every);
  if (!texts.time_limit.empty()) {
    options.time_limit = parse_duration("--time-limit", texts.time_limit);
  }
  return options;
}

std::vector<Rung> rungs_of(const RunOptions& options) {
  if (options.search.kind != SearchKind::kHalving) return {};
  return halving_rungs(options.schedule.epochs, options.schedule.warmup_epochs);
}

nlohmann::json resolved_options(const RunOptions& options) {
  const auto& space = options.space;
  const auto names = [](const auto& values) {
    std::vector<std::string> texts;
    for (const auto& value : values) texts.push_back(to_string(value));
    return texts;
  };
  return {{"method", names(space.methods)},
          {"rank", space.ranks},
          {"gap", space.gaps},
          {"heads", space.heads},
          {"modules", space.modules},
          {"variant", names(space.variants)},
          {"bias_correction", space.bias_corrections},
          {"biases", space.biases},
          {"pool", names(space.pools)},
          {"norm", names(space.norms)},
          {"learning_rate", space.learning_rates},
          {"head_learning_rate_scale", space.head_learning_rate_scales},
          {"weight_decay", space.weight_decays},
          {"label_smoothing", space.label_smoothings},
          {"seed", space.seeds},
          {"epochs", options.schedule.epochs},
          {"warmup_epochs", options.schedule.warmup_epochs},
          {"batch_size", options.schedule.batch_size},
          {"data_seed", options.schedule.data_seed},
          {"val_fraction", options.val_fraction},
          {"search", to_string(options.search)},
          {"select", options.select == Selection::kVal ? "val" : "last"},
          {"retrain", options.retrain ? "train+val" : "none"},
          {"retrain_seeds", options.retrain ? options.retrain_seeds : std::vector<int64_t>{}},
          {"ensemble", options.ensemble},
          {"precision", to_string(options.precision)}};
}

}  // namespace last
