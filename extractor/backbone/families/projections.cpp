#include "extractor/backbone/families/projections.h"

#include "extractor/backbone/fuse_rows.h"

namespace last {
void join_projections(StateDict& tensors) {
  tensors = renamed(tensors, {{".attn.q_proj.", ".attn.q."},
                              {".attn.k_proj.", ".attn.k."},
                              {".attn.v_proj.", ".attn.v."},
                              {".attn.q_bias", ".attn.q.bias"},
                              {".attn.v_bias", ".attn.v.bias"},
                              {".mlp.w12.", ".mlp.fc1."},
                              {".mlp.w1.", ".mlp.fc1_g."},
                              {".mlp.w2.", ".mlp.fc1_x."},
                              {".mlp.w3.", ".mlp.fc2."}});
  fuse_rows(tensors, ".attn.", {"q", "k", "v"}, "qkv", /*without_bias=*/"k");
  fuse_rows(tensors, ".mlp.", {"fc1_g", "fc1_x"}, "fc1");
}

bool is_gated(const StateDict& tensors) {
  const auto fc1 = tensors.find("blocks.0.mlp.fc1.weight");
  const auto fc2 = tensors.find("blocks.0.mlp.fc2.weight");
  return fc1 != tensors.end() && fc2 != tensors.end() && fc1->second.dim() == 2 &&
         fc2->second.dim() == 2 && fc1->second.shape[0] == 2 * fc2->second.shape[1];
}

}  // namespace last
