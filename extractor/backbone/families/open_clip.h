#pragma once

#include "extractor/backbone/families/family.h"

namespace last {

// OpenAI's CLIP and open_clip's own ViTs (open_clip's timm towers are timm's). Whether the MLP has
// GELU or QuickGELU is not in the file.
Family open_clip_family();

}  // namespace last
