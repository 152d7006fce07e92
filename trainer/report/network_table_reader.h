#pragma once

#include <string>
#include <vector>

#include "trainer/report/network_table.h"

namespace last {

// Reads networks.csv back. Columns are found by their names, so further ones may follow.
//   targets: names by Setting::target
// An Error names file, line and column of what can't be read, or a target that the run doesn't
// have.
std::vector<NetworkRow> read_network_table(const std::string& path,
                                           const std::vector<std::string>& targets);

}  // namespace last
