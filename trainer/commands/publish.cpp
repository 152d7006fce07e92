#include "trainer/commands/publish.h"

#include <algorithm>
#include <utility>

#include "common/cli/log.h"
#include "common/error.h"
#include "trainer/report/run_checksums.h"

namespace last {
namespace {

bool is_chosen_from(const std::vector<TargetChoice>& choices, const Setting& setting) {
  return std::any_of(choices.begin(), choices.end(), [&](const TargetChoice& choice) {
    return choice.target == setting.target &&
           choice.choice.setting.network.method == setting.network.method;
  });
}

std::vector<SummaryLine> lines_of_choices(const std::vector<NetworkRow>& rows,
                                          const std::vector<TargetChoice>& choices) {
  std::vector<SummaryLine> lines;
  for (const auto& choice : choices) {
    lines.push_back(summarize(choice.rows));
    lines.back().basis = choice.basis();
  }
  for (const auto& networks : all_settings(rows)) {
    if (is_chosen_from(choices, networks.front().setting)) continue;
    lines.push_back(summarize(networks));
    lines.back().basis = "nothing";
  }
  std::stable_sort(lines.begin(), lines.end(), [](const SummaryLine& a, const SummaryLine& b) {
    return a.setting.target < b.setting.target;
  });
  return lines;
}

}  // namespace

void publish_best(const RunDirectory& directory, const std::vector<std::string>& targets,
                  const std::vector<TargetChoice>& choices) {
  for (size_t t = 0; t < targets.size(); ++t) {
    const auto* best = best_of_target(choices, static_cast<int64_t>(t));
    const auto* network = best == nullptr ? nullptr : best->representative();
    if (network == nullptr) {
      log_warning("target \"" + targets[t] + "\": no best network is exported");
      continue;
    }
    write_file_atomically(directory.file("best." + targets[t] + ".safetensors"),
                          read_text_file(directory.network_file(network->setting.index)));
  }
}

std::string summary_of(const std::vector<NetworkRow>& rows,
                       const std::vector<TargetChoice>& choices, Selection select, bool retrained,
                       const std::vector<SummaryLine>& ensembles) {
  const bool choosing = select == Selection::kVal || retrained;
  std::vector<SummaryLine> lines;
  if (choosing) {
    lines = lines_of_choices(rows, choices);
  } else {
    for (const auto& networks : all_settings(rows)) lines.push_back(summarize(networks));
  }
  const bool all_by_val =
      choosing && std::all_of(choices.begin(), choices.end(),
                              [](const TargetChoice& choice) { return choice.by_val(); });
  const bool any_left = std::any_of(
      lines.begin(), lines.end(), [](const SummaryLine& line) { return line.basis == "nothing"; });
  lines.insert(lines.end(), ensembles.begin(), ensembles.end());
  if (lines.empty()) return "";
  const char* title = choices.empty() ? "Every setting after its last epoch (nothing is chosen):\n"
                      : !choosing     ? "Every setting after its last epoch:\n"
                      : all_by_val && !any_left ? "Best setting by validation accuracy:\n"
                                                : "Settings, and what they were chosen by:\n";
  return title + summary_text(lines);
}

void publish_tables(const RunDirectory& directory, const std::vector<NetworkRow>& rows,
                    const std::string& summary) {
  write_file_atomically(directory.file("summary.txt"), summary);
  const std::string table = network_table_csv(rows);
  save_run_checksums(directory.path(), table);
  write_file_atomically(directory.file("networks.csv"), table);
}

void check_any_ended_well(const std::vector<NetworkRow>& rows) {
  const bool any = std::any_of(rows.begin(), rows.end(), [](const NetworkRow& row) {
    return row.progress.status == NetworkStatus::kOk;
  });
  if (!any) fail("every network diverged (try lower learning rates)");
}

}  // namespace last
