#pragma once

#include "extractor/backbone/families/family.h"

namespace last {

// timm's own files, and what uses its names: AugReg, DeiT, DeiT-III (gamma_1, gamma_2), DINO, MAE,
// SigLIP and CLIP as timm publishes them.
Family timm_family();

// Whether these canonical tensors are those of a SigLIP model that timm defines with the tanh form
// of GELU; all others have erf.
bool is_tanh_siglip(const StateDict& tensors);

}  // namespace last
