#include "trainer/commands/merge.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <optional>
#include <set>
#include <tuple>

#include <boost/program_options/value_semantic.hpp>

#include "common/cli/interrupt.h"
#include "common/cli/log.h"
#include "common/cli/option_parser.h"
#include "common/cli/parse.h"
#include "common/cli/program.h"
#include "common/cli/progress.h"
#include "common/error.h"
#include "common/io/checksum.h"
#include "common/io/json_integer.h"
#include "common/io/json_text.h"
#include "common/last/network_file.h"
#include "trainer/commands/joined_search.h"
#include "trainer/commands/publish.h"
#include "trainer/commands/run_part.h"
#include "trainer/report/network_table_reader.h"
#include "trainer/report/run_cost_file.h"
#include "trainer/report/tensorboard/tensorboard_log.h"

namespace po = boost::program_options;

namespace last {
namespace {

struct MergeOptions {
  std::vector<std::string> runs;
  std::string out;
};

std::optional<MergeOptions> parse_merge_options(const std::vector<std::string>& arguments) {
  MergeOptions options;
  std::string runs;
  OptionParser parser("trainer merge",
                      "joins the parts of one grid that `trainer run --part` trained into one run");
  parser.group("Parts").add_options()(
      "run", po::value(&runs)->value_name("DIR[,..]"),
      "run directories of all parts, or the DIR that --part auto was given (required)")(
      "out", po::value(&options.out)->value_name("DIR"),
      "run directory to write: as if the grid had been trained in one run (required)");
  if (!parser.parse(arguments)) return std::nullopt;
  if (runs.empty()) fail_usage("--run is missing: name the run directories of the parts");
  if (options.out.empty()) fail_usage("--out is missing: name a directory for the joined run");
  options.runs = parse_list("--run", runs);
  return options;
}

// config.json as of a run of the whole grid; where its parts ran is added.
nlohmann::json merged_config(const std::vector<RunPart>& parts) {
  auto config = parts.front().config;
  config["part"] = {{"index", 0}, {"count", 1}};
  auto& merged = config["merged"] = nlohmann::json::array();
  for (const auto& part : parts) {
    merged.push_back({{"run", part.directory},
                      {"machine", part.config.value("machine", nlohmann::json::object())}});
  }
  return config;
}

struct MetricsLine {
  int64_t epoch = 0;
  int64_t network = 0;
  std::string text;
};

void read_metrics(const RunPart& part, std::vector<MetricsLine>& lines) {
  const std::string path = part.file("metrics.jsonl");
  const std::string text = read_text_file(path);
  std::set<int64_t> own;
  for (const auto& row : part.rows) own.insert(row.setting.index);
  int64_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    MetricsLine line{0, 0, text.substr(at, end - at)};
    ++number;
    at = end + 1;
    try {
      const auto json = parse_json(line.text, concat(path, ":", number));
      line.epoch = json_integer(json.at("epoch"));
      line.network = json_integer(json.at("network"));
    } catch (const nlohmann::json::exception& error) {
      fail(path, ":", number, " is damaged: ", error.what());
    }
    if (own.count(line.network) == 0)
      fail(path, ":", number, ": network ", line.network, " is not in this part's table");
    lines.push_back(std::move(line));
  }
}

// All lines, epoch by epoch.
std::string joined_metrics(const std::vector<RunPart>& parts) {
  std::vector<MetricsLine> lines;
  for (const auto& part : parts) read_metrics(part, lines);
  std::stable_sort(lines.begin(), lines.end(), [](const MetricsLine& a, const MetricsLine& b) {
    return std::tie(a.epoch, a.network) < std::tie(b.epoch, b.network);
  });
  std::string text;
  for (const auto& line : lines) text += line.text + "\n";
  return text;
}

std::vector<NetworkRow> joined_rows(const std::vector<RunPart>& parts) {
  std::vector<NetworkRow> rows;
  for (const auto& part : parts) rows.insert(rows.end(), part.rows.begin(), part.rows.end());
  std::sort(rows.begin(), rows.end(), [](const NetworkRow& a, const NetworkRow& b) {
    return a.setting.index < b.setting.index;
  });
  return rows;
}

// Of all parts together.
CostRecord joined_cost(const std::vector<RunPart>& parts) {
  CostRecord all;
  for (const auto& part : parts) {
    const std::string path = part.file("cost.json");
    if (!std::filesystem::exists(path)) continue;  // killed after its tables were written
    const CostRecord cost = load_cost(path);
    all.sessions += cost.sessions;
    all.seconds += cost.seconds;
    all.peak_memory_bytes = std::max(all.peak_memory_bytes, cost.peak_memory_bytes);
  }
  return all;
}

void write_tensorboard(const RunDirectory& directory, const std::vector<std::string>& targets,
                       const std::vector<NetworkRow>& rows) {
  std::vector<Setting> settings;
  for (const auto& row : rows) settings.push_back(row.setting);
  TensorboardLog board(directory.file("tensorboard"), directory.file("metrics.jsonl"), "search",
                       settings, targets, directory.start());
  board.finish(rows);
}

// Copies the networks of all parts, each of which must load.
void copy_networks(const std::vector<RunPart>& parts, const RunDirectory& directory, size_t count) {
  Progress progress("copying", "networks", static_cast<int64_t>(count));
  int64_t done = 0;
  for (const auto& part : parts) {
    for (const auto& row : part.rows) {
      check_interrupt(kHowToGoOn);
      progress.update(++done);
      const std::string source =
          part.file("networks/" + std::to_string(row.setting.index) + ".safetensors");
      if (!std::filesystem::exists(source)) {
        if (row.progress.status == NetworkStatus::kOk) fail("\"", source, "\" is missing");
        continue;
      }
      const auto network = load_network(source);
      if (network.target != row.target || !(network.config == row.setting.network)) {
        fail("\"", source, "\" is not the network that the table beside it describes");
      }
      write_file_atomically(directory.network_file(row.setting.index), read_text_file(source));
    }
  }
  progress.finish();
}

// Chooses among all networks, as a run of the whole grid does at its end.
std::string choose_and_publish(const RunDirectory& directory, const RunPart& any_part,
                               const std::vector<NetworkRow>& rows) {
  const auto& targets = any_part.targets;
  const auto [choices, warnings] = choose_per_method(rows, targets, any_part.select);
  for (const auto& warning : warnings) log_warning(warning);
  publish_best(directory, targets, choices);
  // Those of an earlier join, which nothing here can vouch for.
  for (const auto& target : targets) {
    std::filesystem::remove(directory.file("predictions." + target + ".csv"));
  }
  auto summary = summary_of(rows, choices, any_part.select, /*retrained=*/false, {});
  publish_tables(directory, rows, summary);
  return summary;
}

// Everything that is there before choosing; the list of networks comes last.
void join(const std::vector<RunPart>& parts, const RunDirectory& directory,
          const std::vector<NetworkRow>& rows) {
  copy_networks(parts, directory, rows.size());
  const auto metrics = joined_metrics(parts);
  write_file_atomically(directory.file("metrics.jsonl"), metrics);
  save_cost(directory.file("cost.json"), joined_cost(parts));
  write_tensorboard(directory, parts.front().targets, rows);
  save_joined_search(directory, {rows, {metrics.size(), crc32c(metrics.data(), metrics.size())}});
}

int merge(const MergeOptions& options) {
  std::vector<RunPart> read;
  for (const auto& directory : expand_parts(options.runs)) read.push_back(read_run_part(directory));
  const auto parts = check_parts(std::move(read));
  const RunDirectory directory(options.out, merged_config(parts));
  if (directory.finished()) {
    log_info("\"" + options.out + "\" is finished already");
    std::cout << read_text_file(directory.file("summary.txt"));
    check_any_ended_well(read_network_table(directory.file("networks.csv"), parts.front().targets));
    return kExitDone;
  }
  const auto rows = joined_rows(parts);
  if (!load_joined_search(directory, parts.front().targets)) join(parts, directory, rows);
  const std::string how =
      concat("the parts' command without --part and with --run \"", options.out);
  if (parts.front().trains_after_search) {  // which may be under way in it
    log_info(concat(rows.size(), " networks of ", parts.size(), " parts are joined; ", how,
                    "\" chooses among them and retrains"));
    return kExitDone;
  }
  const auto summary = choose_and_publish(directory, parts.front(), rows);
  log_info(concat(rows.size(), " networks of ", parts.size(), " parts are joined in \"",
                  options.out, "\"; ", how, "\" adds predictions for the report"));
  std::cout << summary;
  check_any_ended_well(rows);
  return kExitDone;
}

}  // namespace

int trainer_merge(const std::vector<std::string>& arguments) {
  const auto options = parse_merge_options(arguments);
  if (!options) return kExitDone;
  install_interrupt_handlers(std::nullopt);
  return merge(*options);
}

}  // namespace last
