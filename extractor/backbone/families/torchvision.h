#pragma once

#include "extractor/backbone/families/family.h"

namespace last {

// torchvision's vit_b_16 and its like.
Family torchvision_family();

}  // namespace last
