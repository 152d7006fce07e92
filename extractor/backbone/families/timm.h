#pragma once

#include "extractor/backbone/families/family.h"

namespace last {

// timm's own files, and what uses its names: AugReg, DeiT, DeiT-III (gamma_1, gamma_2), DINO, MAE,
// SigLIP and CLIP as timm publishes them.
Family timm_family();

}  // namespace last
