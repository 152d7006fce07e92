#pragma once

#include <string>
#include <vector>

namespace last {

// `trainer export`: see --help. Returns the exit status.
int trainer_export(const std::vector<std::string>& arguments);

}  // namespace last
