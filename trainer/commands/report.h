#pragma once

#include <string>
#include <vector>

namespace last {

// `trainer report`: see --help. Returns the exit status.
int trainer_report(const std::vector<std::string>& arguments);

}  // namespace last
