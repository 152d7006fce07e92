#pragma once

#include <string>

#include "extractor/backbone/families/family.h"

namespace last {

struct RecognisedCheckpoint {
  std::string family;  // its description
  std::string prefix;  // of the tensors' names in the file
  CanonicalCheckpoint checkpoint;
};

// Finds out the family by the names of the tensors, looking through what training programs wrap
// around a model (model., state_dict., module., teacher., ..). `family` is one of families() or
// "auto". An Error lists the known families.
RecognisedCheckpoint recognise_checkpoint(const StateDict& tensors, const std::string& family,
                                          const std::string& path);

}  // namespace last
