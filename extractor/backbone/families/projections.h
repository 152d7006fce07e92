#pragma once

#include "extractor/backbone/state_dict.h"

namespace last {

// What EVA and DINOv3 have in common, under BAAI's, Meta's and timm's names:
//   attn.{q,k,v}_proj or q_bias and v_bias beside attn.qkv.weight -> attn.qkv, the keys' bias 0
//   mlp.{w12, w3}, mlp.{w1, w2, w3} or mlp.{fc1_g, fc1_x, fc2}   -> mlp.fc1, mlp.fc2
void join_projections(StateDict& tensors);

// Whether the first block's MLP is gated.
bool is_gated(const StateDict& tensors);

}  // namespace last
