#pragma once

#include <string>
#include <vector>

namespace last {

// `trainer merge`: see cli help. Returns the exit status.
int trainer_merge(const std::vector<std::string>& arguments);

}  // namespace last
