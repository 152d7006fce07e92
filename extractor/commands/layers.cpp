#include "extractor/commands/layers.h"

#include <algorithm>

#include "common/cli/parse.h"
#include "common/error.h"

namespace last {

std::vector<int64_t> parse_layers(const std::string& text, int64_t depth) {
  const std::string every = "every:";
  std::vector<int64_t> layers;
  if (text == "all" || text.rfind(every, 0) == 0) {
    const int64_t gap = text == "all" ? 1 : parse_integer("--layers", text.substr(every.size()));
    if (gap < 1 || (depth > 0 && depth % gap != 0)) {
      fail_usage("--layers ", text, ": the gap must divide the number of blocks",
                 depth > 0 ? concat(", ", depth) : std::string());
    }
    for (int64_t layer = 0; layer <= depth; layer += gap) layers.push_back(layer);
    return layers;
  }
  layers = parse_integers("--layers", text);
  std::sort(layers.begin(), layers.end());
  if (std::adjacent_find(layers.begin(), layers.end()) != layers.end()) {
    fail_usage("--layers ", text, ": a layer is there twice");
  }
  if (layers.front() < 0 || (depth > 0 && layers.back() > depth)) {
    fail_usage("--layers ", text, ": layers count from 0 (before the first block) to ",
               depth > 0 ? concat(depth) : std::string("the number of blocks"));
  }
  return layers;
}

}  // namespace last
