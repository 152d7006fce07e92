#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

namespace last {

struct LinearWeights {
  at::Tensor weight;  // [out, in]
  at::Tensor bias;    // [out]; undefined: none
};

struct NormWeights {
  at::Tensor weight;  // [D]
  at::Tensor bias;    // [D]

  bool defined() const { return weight.defined(); }
};

struct BlockWeights {
  NormWeights norm1;
  LinearWeights qkv;   // [3D, D]; rows: q, k, v, head after head inside each
  LinearWeights proj;  // [D, D], LayerScale folded in
  NormWeights norm2;
  LinearWeights fc1;  // [hidden, D]; of a gated MLP [2 hidden, D]
  LinearWeights fc2;  // [D, hidden], LayerScale folded in
};

// Weights of a ViT for one image size, fp32 on the CPU. Everything in which checkpoints differ but
// which is constant for all images is computed beforehand: z_0 = [prefix, patches + positions].
struct VitWeights {
  LinearWeights patch_embed;  // [D, 3 * patch height * patch width]
  at::Tensor prefix;          // [prefix tokens, D], with what position embedding belongs to them
  at::Tensor positions;       // [patches, D]
  NormWeights norm_pre;       // undefined: none
  std::vector<BlockWeights> blocks;
  NormWeights norm;  // the final norm; undefined: the checkpoint has none
};

}  // namespace last
