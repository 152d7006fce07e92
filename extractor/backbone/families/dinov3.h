#pragma once

#include "extractor/backbone/families/family.h"

namespace last {

// DINOv3 under Meta's names (storage_tokens, a bias of the keys that is masked away, stored rotary
// periods) and under timm's (reg_token, q_bias and v_bias). No learnt position embedding.
Family dinov3_family();

// What all DINOv3 models have in common, whoever names their tensors.
void set_dinov3_hints(ArchitectureHints& hints);

}  // namespace last
