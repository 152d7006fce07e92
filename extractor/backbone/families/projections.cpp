#include "extractor/backbone/families/projections.h"

#include <utility>

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros_like.h>

#include "extractor/backbone/families/family.h"

namespace last {
namespace {

// q_bias, v_bias beside one qkv.weight -> qkv.bias, whose part for the keys is zero
void join_biases(StateDict& tensors) {
  for (int64_t i = 0, depth = count_blocks(tensors); i < depth; ++i) {
    const std::string attention = "blocks." + std::to_string(i) + ".attn.";
    const auto q = tensors.find(attention + "q.bias"), v = tensors.find(attention + "v.bias");
    if (q == tensors.end() || v == tensors.end() || tensors.count(attention + "qkv.weight") == 0) {
      continue;  // separate projections, or reported as missing later
    }
    const NamedTensor query = q->second, value = v->second;
    if (query.dim() != 1 || value.shape != query.shape) continue;
    NamedTensor bias = changed(query, {3 * query.shape[0]}, [value](const at::Tensor& read) {
      return at::cat({read, at::zeros_like(read), value.read()});
    });
    bias.origin += ", " + value.origin;
    tensors.erase(q);
    tensors.erase(v);
    tensors[attention + "qkv.bias"] = std::move(bias);
  }
}

}  // namespace

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
  join_biases(tensors);
  fuse_rows(tensors, ".attn.", {"q", "k", "v"}, "qkv");
  fuse_rows(tensors, ".mlp.", {"fc1_g", "fc1_x"}, "fc1");
}

bool is_gated(const StateDict& tensors) {
  const auto fc1 = tensors.find("blocks.0.mlp.fc1.weight");
  const auto fc2 = tensors.find("blocks.0.mlp.fc2.weight");
  return fc1 != tensors.end() && fc2 != tensors.end() && fc1->second.dim() == 2 &&
         fc2->second.dim() == 2 && fc1->second.shape[0] == 2 * fc2->second.shape[1];
}

}  // namespace last
