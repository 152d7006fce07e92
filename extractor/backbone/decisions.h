#pragma once

#include "extractor/backbone/families/family.h"
#include "extractor/backbone/report.h"
#include "extractor/backbone/resolve.h"

namespace last {

// Decides what the shapes of a model's tensors leave open (heads, activation, eps, where norms are,
// position embeddings), from the first of these that knows it: the command line, the model's name
// on it, the files beside the weights, the family, the published models. `config` has its shapes.
void decide_functions(VitConfig& config, const BackboneOptions& options,
                      const ArchitectureHints& sidecar, const ArchitectureHints& family,
                      BackboneReport& report);

}  // namespace last
