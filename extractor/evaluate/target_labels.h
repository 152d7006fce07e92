#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "extractor/evaluate/networks.h"
#include "extractor/images/image_list.h"

namespace last {

// The labels of a list in the classes of one network. A class that the network does not know has a
// number behind its own: no prediction can be right there.
struct TargetLabels {
  std::vector<int32_t> labels;     // [images], kUnlabelled without a label
  std::vector<std::string> names;  // of the network's classes, then of the others

  const std::string& text(int32_t label) const { return names[static_cast<size_t>(label)]; }
};

// Matches classes by name (bare indices by number). A list without the column of the network's
// target is unlabelled. `warnings` gets a line where that is so though it has others, and where
// classes are unknown to the network; an Error where all of them are.
TargetLabels match_labels(const ImageList& list, const NamedBundle& network,
                          std::vector<std::string>* warnings);

}  // namespace last
