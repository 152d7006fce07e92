#pragma once

#include <cstddef>
#include <string>

namespace last {

// Letters added, removed, replaced or swapped with their neighbour. A digit for another one counts
// twice: that is another layer's name, not a misspelt one.
size_t edit_distance(const std::string& a, const std::string& b);

}  // namespace last
