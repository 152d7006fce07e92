#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trainer/commands/run_directory.h"
#include "trainer/report/metrics_log.h"
#include "trainer/report/network_table.h"

namespace last {

// The search of a run whose parts were trained elsewhere and joined by `trainer merge`:
// checkpoints/joined.csv, a networks.csv of the search, and joined.json with its checksum. `trainer
// run` takes it in place of its own search, and does what merging can't: retrain (--retrain), and
// predict.

struct JoinedSearch {
  std::vector<NetworkRow> rows;
  MetricsLog::Position metrics;  // of metrics.jsonl: what the search wrote, retraining appends
};

// Whether a run directory holds one. For planning, before the directory is checked.
bool holds_joined_search(const std::string& run_directory);
void save_joined_search(const RunDirectory& directory, const JoinedSearch& search);
// Nothing where the directory holds no joined search; an Error where it is damaged.
std::optional<JoinedSearch> load_joined_search(const RunDirectory& directory,
                                               const std::vector<std::string>& targets);

}  // namespace last
