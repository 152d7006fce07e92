#pragma once

#include <string>

#include "extractor/backbone/resolve.h"
#include "extractor/backbone/vit_weights.h"

namespace last {

// Weights for the resolved image size out of a canonical checkpoint, read, changed and brought to
// `device` and `precision` tensor by tensor, so that the model never lies in memory twice. Position
// embeddings are resampled and added to the prefix, LayerScale becomes part of what it scales. An
// Error names the first tensor that is missing, has another shape, or has no place in the model.
VitWeights prepare_weights(const CanonicalCheckpoint& checkpoint, const ResolvedModel& model,
                           const std::string& path, c10::Device device, c10::ScalarType precision);

// The same Errors, without reading the tensors.
void check_weights(const CanonicalCheckpoint& checkpoint, const ResolvedModel& model,
                   const std::string& path);

}  // namespace last
