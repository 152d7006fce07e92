#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace last {

// --layers: "all" (z_0 .. z_depth), "every:G" (z_0, z_G, .., z_depth) or "0,3,6". Ascending. A
// UsageError where the text is something else, G doesn't divide the depth, or a layer is out of
// range or there twice. Without `depth` (0) only the form is checked.
std::vector<int64_t> parse_layers(const std::string& text, int64_t depth);

}  // namespace last
