#include "trainer/commands/publish.h"

#include <algorithm>

#include "common/cli/log.h"
#include "common/error.h"

namespace last {
namespace {

bool has_one_setting(const std::vector<NetworkRow>& rows, int64_t target) {
  const Setting* first = nullptr;
  for (const auto& row : rows) {
    if (row.setting.target != target) continue;
    if (first == nullptr) first = &row.setting;
    if (!same_but_for_seed(*first, row.setting)) return false;
  }
  return true;
}

}  // namespace

void publish_best(const RunDirectory& directory, const std::vector<std::string>& targets,
                  const std::vector<NetworkRow>& rows, const std::vector<TargetChoice>& choices,
                  Selection select) {
  for (size_t t = 0; t < targets.size(); ++t) {
    const auto target = static_cast<int64_t>(t);
    const bool chosen = select == Selection::kVal || has_one_setting(rows, target);
    const auto* best = chosen ? best_of_target(choices, target) : nullptr;
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
  std::vector<SummaryLine> lines;
  if (select == Selection::kVal || retrained) {
    for (const auto& choice : choices) lines.push_back(summarize(choice.rows));
  } else {
    for (const auto& networks : all_settings(rows)) lines.push_back(summarize(networks));
  }
  lines.insert(lines.end(), ensembles.begin(), ensembles.end());
  if (lines.empty()) return "";
  const char* title = select == Selection::kVal
                          ? "Best setting by validation accuracy:\n"
                          : "Every setting after its last epoch (nothing is chosen):\n";
  return title + summary_text(lines);
}

void publish_tables(const RunDirectory& directory, const std::vector<NetworkRow>& rows,
                    const std::string& summary) {
  write_file_atomically(directory.file("summary.txt"), summary);
  write_file_atomically(directory.file("networks.csv"), network_table_csv(rows));
}

void check_any_ended_well(const std::vector<NetworkRow>& rows) {
  const bool any = std::any_of(rows.begin(), rows.end(), [](const NetworkRow& row) {
    return row.progress.status == NetworkStatus::kOk;
  });
  if (!any) fail("every network diverged (try lower learning rates)");
}

}  // namespace last
