#pragma once

#include "extractor/backbone/families/family.h"

namespace last {

// Google's .npz checkpoints: vision_transformer (AugReg, the first ViTs) and big_vision (SigLIP,
// SigLIP 2, ..), also those whose blocks are stacked into one array per weight. Flax keeps kernels
// as [in, out] and convolutions as [height, width, in, out].
Family google_family();

}  // namespace last
