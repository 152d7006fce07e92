#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/sweep/grid.h"

namespace last {

// One of `count` parts of a grid, each a run of its own; {0, 1} is all of it.
struct GridPart {
  int64_t index = 0;
  int64_t count = 1;

  bool is_whole() const { return count == 1; }
};

// Every count-th setting from the index-th on. Neighbours in the grid cost much the same, so the
// parts cost much the same as well. Settings keep their indices. A UsageError where there are more
// parts than settings.
std::vector<Setting> settings_of_part(const std::vector<Setting>& grid, const GridPart& part);

// DIR of --run for one part, where one command line serves all of them (--part auto):
// DIR.00001-of-00004, index from 0.
std::string part_directory(const std::string& run, const GridPart& part);

}  // namespace last
