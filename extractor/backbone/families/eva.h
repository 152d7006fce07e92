#pragma once

#include "extractor/backbone/families/family.h"

namespace last {

// EVA-01, EVA-02 and the image towers of EVA-CLIP, under BAAI's names and under timm's: no bias of
// the keys; EVA-02 has SwiGLU, a rotary position embedding besides the learnt one, and norms inside
// the MLP and (CLIP) inside attention; its enormous model has the blocks' norms behind.
Family eva_family();

}  // namespace last
