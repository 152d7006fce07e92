#include "trainer/commands/report.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <iostream>

#include <boost/program_options/value_semantic.hpp>

#include "common/cli/log.h"
#include "common/cli/option_parser.h"
#include "common/cli/parse.h"
#include "common/cli/program.h"
#include "common/cli/version.h"
#include "common/error.h"
#include "common/io/file.h"
#include "trainer/commands/choices.h"
#include "trainer/report/number_text.h"
#include "trainer/report/page/page.h"
#include "trainer/report/ranking.h"
#include "trainer/report/report_data.h"
#include "trainer/report/summary.h"
#include "trainer/report/thumbnails.h"

namespace po = boost::program_options;

namespace last {
namespace {

constexpr size_t kMostRankedInText = 10;

struct ReportOptions {
  std::vector<std::string> runs;
  std::string out;
};

std::optional<ReportOptions> parse_options(const std::vector<std::string>& arguments) {
  ReportOptions options;
  std::string runs;
  OptionParser parser("trainer report",
                      "writes one page about finished runs that needs nothing else, and prints "
                      "their tables");
  parser.group("Report").add_options()  //
      ("run", po::value(&runs)->value_name("DIR[,..]"), "run directories (required)")(
          "out", po::value(&options.out)->value_name("FILE.html"),
          "page to write (default: report.html in the first directory)");
  if (!parser.parse(arguments)) return std::nullopt;
  if (runs.empty()) fail_usage("--run is missing: name a run directory");
  options.runs = parse_list("--run", runs);
  if (options.out.empty()) options.out = options.runs.front() + "/report.html";
  return options;
}

bool is_retrained(const NetworkRow& row) { return row.stage == "retrain"; }

// Runs of which config.json doesn't tell were chosen on val where they could be.
Selection selection_of(const RunRecord& run) {
  const auto options = run.config.value("options", nlohmann::json::object());
  return options.value("select", "val") == "last" ? Selection::kLast : Selection::kVal;
}

// Seeds that the choice was retrained with. Networks of an ensemble are retrained as well, some of
// them with the same setting and other seeds.
bool is_repetition(const RunRecord& run, const NetworkRow& row) {
  const auto options = run.config.value("options", nlohmann::json::object());
  const auto seeds = options.value("retrain_seeds", nlohmann::json::array());
  return seeds.empty() || std::find(seeds.begin(), seeds.end(), row.setting.seed) != seeds.end();
}

// Those of the retrained networks, where there are any.
std::vector<EnsembleRecord> final_ensembles(const RunRecord& run, int64_t target) {
  std::vector<EnsembleRecord> searched;
  std::vector<EnsembleRecord> retrained;
  for (const auto& ensemble : run.ensembles) {
    if (ensemble.target != target) continue;
    (ensemble.stage == "retrain" ? retrained : searched).push_back(ensemble);
  }
  return retrained.empty() ? searched : retrained;
}

// What `trainer run` has chosen, worked out again from its table.
std::vector<Answer> answers_of(const RunRecord& run) {
  std::vector<NetworkRow> searched;
  std::vector<NetworkRow> retrained;
  for (const auto& row : run.rows) (is_retrained(row) ? retrained : searched).push_back(row);
  const auto names = run.target_names();
  std::vector<Answer> answers(names.size());
  const auto choices = choose_per_method(searched, names, selection_of(run));
  for (const auto& choice : choices.chosen) {
    AnswerLine line{choice.rows,
                    {},
                    &choice == best_of_target(choices.chosen, choice.target),
                    choice.by_val(),
                    choice.basis()};
    for (const auto& row : choice.rows) line.chosen_from.push_back(row.setting.index);
    std::vector<NetworkRow> again;
    for (const auto& row : retrained) {
      if (same_but_for_seed(row.setting, choice.choice.setting) && is_repetition(run, row)) {
        again.push_back(row);
      }
    }
    if (!again.empty()) line.rows = again;
    auto& lines = answers[static_cast<size_t>(choice.target)].lines;
    lines.insert(line.best ? lines.begin() : lines.end(), line);
  }
  for (size_t t = 0; t < names.size(); ++t) {
    // Each target on its own, so that a warning stands beside the target that it is about.
    std::vector<NetworkRow> rows;
    for (const auto& row : searched) {
      if (row.setting.target == static_cast<int64_t>(t)) rows.push_back(row);
    }
    answers[t].ensembles = final_ensembles(run, static_cast<int64_t>(t));
    answers[t].warnings = choose_per_method(rows, names, selection_of(run)).warnings;
  }
  return answers;
}

// All settings of a target, the best first.
std::vector<SummaryLine> ranking_of(const RunRecord& run, int64_t target) {
  std::vector<SummaryLine> lines;
  for (const auto& networks : ranked_settings(run.rows, target)) {
    lines.push_back(summarize(networks));
  }
  return lines;
}

// One decimal, or two digits where that would be little or nothing.
std::string rate_text(double rate) {
  return fixed(rate, rate < 1 ? 1 - static_cast<int>(std::floor(std::log10(rate))) : 1);
}

std::string cost_text(const RunRecord& run) {
  double seconds = 0;
  for (const auto& row : run.rows) seconds += row.progress.seconds;
  std::string text =
      concat("\nCost: ", run.rows.size(), run.rows.size() == 1 ? " network, " : " networks, ",
             format_duration(seconds), " of training");
  if (seconds > 0) {
    text += concat(", ", rate_text(60 * static_cast<double>(run.rows.size()) / seconds),
                   " networks per minute");
  }
  if (run.cost) {
    text += concat("; ", format_duration(run.cost->seconds), " in all, at most ",
                   format_size(run.cost->peak_memory_bytes), " of memory");
  }
  return text + "\n";
}

std::string text_of(const RunRecord& run, const std::vector<Answer>& answers) {
  std::string text = concat("Run ", run.name, "\n\nChosen settings:\n");
  std::vector<SummaryLine> lines;
  for (const auto& answer : answers) {
    for (const auto& line : answer.lines) {
      lines.push_back(summarize(line.rows));
      lines.back().basis = line.basis;
    }
    for (const auto& e : answer.ensembles) {
      lines.push_back(summarize_ensemble(run.targets[static_cast<size_t>(e.target)].name,
                                         e.train_data, e.members, parameters_of(e, run),
                                         e.val_accuracy, e.test_accuracy));
    }
  }
  text += lines.empty() ? "none\n" : summary_text(lines);
  for (size_t t = 0; t < run.targets.size(); ++t) {
    for (const auto& warning : answers[t].warnings) text += warning + "\n";
    auto ranking = ranking_of(run, static_cast<int64_t>(t));
    const size_t all = ranking.size();
    if (all < 2) continue;
    if (all > kMostRankedInText) ranking.resize(kMostRankedInText);
    text += concat("\nRanking for \"", run.targets[t].name,
                   "\" by validation accuracy, then loss, ", ranking.size(), " of ", all,
                   " settings:\n", summary_text(ranking, /*with_val_loss=*/true));
  }
  return text + cost_text(run);
}

std::string time_text() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  char text[64];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &local);
  return text;
}

}  // namespace

int trainer_report(const std::vector<std::string>& arguments) {
  const auto options = parse_options(arguments);
  if (!options) return kExitDone;
  std::string title = "LAST report:";
  std::string text;
  auto runs = nlohmann::json::array();
  for (const auto& path : options->runs) {
    const auto run = read_run(path);
    const auto answers = answers_of(run);
    const Thumbnails test(run.config, "test");
    const Thumbnails val(run.config, "val");
    title += (runs.empty() ? " " : ", ") + run.name;
    text += (runs.empty() ? "" : "\n") + text_of(run, answers);
    runs.push_back(report_data(run, answers, selection_of(run) == Selection::kVal,
                               [&](const std::string& data, const std::string& image) {
                                 return (data == "test" ? test : val).data_uri(image);
                               }));
  }
  const nlohmann::json data = {
      {"program", concat("trainer ", kVersion)}, {"created", time_text()}, {"runs", runs}};
  write_file_atomically(options->out, html_page(title, text, data));
  std::cout << text;
  log_info("the report is in \"" + options->out + "\"");
  return kExitDone;
}

}  // namespace last
