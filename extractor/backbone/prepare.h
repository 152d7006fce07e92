#pragma once

#include <string>

#include "extractor/backbone/resolve.h"
#include "extractor/backbone/vit_weights.h"

namespace last {

// Weights for the resolved image size out of a canonical checkpoint: position embeddings are
// resampled and added to the prefix, LayerScale is folded in. An Error names the first tensor that
// is missing, has another shape, or has no place in the model.
VitWeights prepare_weights(const CanonicalCheckpoint& checkpoint, const ResolvedModel& model,
                           const std::string& path);

}  // namespace last
