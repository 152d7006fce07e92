#pragma once

#include "extractor/backbone/families/family.h"

namespace last {

// DINOv3 in transformers, in files of save_pretrained and in state dicts of current releases.
Family transformers_dinov3_family();

}  // namespace last
