#pragma once

#include "extractor/backbone/families/family.h"

namespace last {

// Hugging Face transformers: ViT, DeiT, ViT-MAE, DINOv2 with and without registers. In files
// written by save_pretrained and in state dicts of current releases, whose names differ.
Family transformers_vit_family();

}  // namespace last
