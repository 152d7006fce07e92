#pragma once

#include "extractor/backbone/families/family.h"

namespace last {

// Meta's own DINOv2 files: timm's names but for register_tokens and the SwiGLU of the giant; blocks
// may be numbered by chunk (blocks.{chunk}.{i}). Registers have no position embedding, cls has.
Family dinov2_family();

}  // namespace last
