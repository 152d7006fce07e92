#include "trainer/sweep/part.h"

#include <array>
#include <cinttypes>
#include <cstdio>

#include "common/error.h"

namespace last {

std::vector<Setting> settings_of_part(const std::vector<Setting>& grid, const GridPart& part) {
  if (part.count > static_cast<int64_t>(grid.size())) {
    fail_usage("--part: ", part.count, " parts of a grid of ", grid.size(),
               " networks: at most one part per network");
  }
  std::vector<Setting> settings;
  for (auto i = static_cast<size_t>(part.index); i < grid.size();
       i += static_cast<size_t>(part.count)) {
    settings.push_back(grid[i]);
  }
  return settings;
}

std::string part_directory(const std::string& run, const GridPart& part) {
  std::array<char, 64> suffix{};
  std::snprintf(suffix.data(), suffix.size(), ".%05" PRId64 "-of-%05" PRId64, part.index,
                part.count);
  std::string name = run;
  while (name.size() > 1 && name.back() == '/') name.pop_back();
  return name + suffix.data();
}

}  // namespace last
