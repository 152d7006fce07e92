#pragma once

#include <string>
#include <vector>

#include "trainer/commands/choices.h"
#include "trainer/commands/run_directory.h"
#include "trainer/report/summary.h"

namespace last {

// Copies the best network of each target to best.TARGET.safetensors; warns where there is none.
void publish_best(const RunDirectory& directory, const std::vector<std::string>& targets,
                  const std::vector<TargetChoice>& choices);

// The final table as text: what was chosen and by what; every setting of a target and method where
// nothing is; then the lines of ensembles.
std::string summary_of(const std::vector<NetworkRow>& rows,
                       const std::vector<TargetChoice>& choices, Selection select, bool retrained,
                       const std::vector<SummaryLine>& ensembles);

// Writes summary.txt, checksums.json, then networks.csv, which makes the run a finished one. All
// other tables are there.
void publish_tables(const RunDirectory& directory, const std::vector<NetworkRow>& rows,
                    const std::string& summary);

// An Error where not one network ended well.
void check_any_ended_well(const std::vector<NetworkRow>& rows);

}  // namespace last
