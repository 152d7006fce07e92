#pragma once

#include <string>
#include <vector>

namespace last {

// `trainer run`: see cli help. Returns the exit status.
int trainer_run(const std::vector<std::string>& arguments);

}  // namespace last
