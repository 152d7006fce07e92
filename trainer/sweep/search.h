#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/sweep/grid.h"

namespace last {

enum class SearchKind { kGrid, kRandom, kHalving };

// How a run goes through its grid: all of it, some settings drawn at random, or all of it with the
// worse part of the settings stopped early.
struct Search {
  SearchKind kind = SearchKind::kGrid;
  int64_t draws = 0;  // settings per method, for kRandom
};

// "grid", "random:N", "halving"; anything else is a UsageError.
Search parse_search(const std::string& text);
std::string to_string(const Search& search);

// `count` settings of each method, drawn without replacement, each with all its seeds and the same
// ones for every target; all of them where there are fewer. In grid order, with their indices in
// the full grid. Depends on the grid's shape and `seed` only.
//   grid: of make_grid, so that the seeds of a setting stand side by side
std::vector<Setting> draw_settings(const std::vector<Setting>& grid, int64_t count, uint64_t seed);

}  // namespace last
