#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "extractor/backbone/rope.h"

namespace last {

struct LinearWeights {
  at::Tensor weight;  // [out, in]
  at::Tensor bias;    // [out]; undefined: none
};

struct NormWeights {
  at::Tensor weight;  // [D]; undefined: no norm
  at::Tensor bias;    // [D]

  bool defined() const { return weight.defined(); }
};

struct BlockWeights {
  NormWeights norm1;
  LinearWeights qkv;           // [3D, D]; rows: q, k, v, head after head inside each
  NormWeights attention_norm;  // of what proj reads; undefined: none
  LinearWeights proj;          // [D, D]
  NormWeights norm2;
  LinearWeights fc1;     // [hidden, D]; of a gated MLP [2 hidden, D]
  NormWeights mlp_norm;  // of what fc2 reads; undefined: none
  LinearWeights fc2;     // [D, hidden]
};

// Weights of a ViT for one image size, on its device: those of matrix products in the precision
// that they are computed in, everything else in fp32. Everything in which checkpoints differ but
// which is constant for all images is computed beforehand: z_0 = [prefix, patches + positions],
// LayerScale is part of what it scales.
struct VitWeights {
  LinearWeights patch_embed;  // [D, 3 * patch height * patch width]
  at::Tensor prefix;          // [prefix tokens, D], with what position embedding belongs to them
  at::Tensor positions;       // [patches, D]; undefined: none
  RopeTables rope;
  NormWeights norm_pre;  // undefined: none
  std::vector<BlockWeights> blocks;
  NormWeights norm;  // the final norm, on the CPU; undefined: the checkpoint has none
};

}  // namespace last
