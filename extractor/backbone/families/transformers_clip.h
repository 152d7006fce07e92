#pragma once

#include "extractor/backbone/families/family.h"

namespace last {

// The vision towers of transformers' CLIP and SigLIP.
Family transformers_clip_family();

}  // namespace last
