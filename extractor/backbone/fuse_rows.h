#pragma once

#include <string>
#include <vector>

#include "extractor/backbone/state_dict.h"

namespace last {

// Puts linear layers that read the same input together, row under row: with ".attn.", {"q", "k",
// "v"}, "qkv" blocks.{i}.attn.{q,k,v}.{weight,bias} -> blocks.{i}.attn.qkv.{weight,bias}. What one
// block has, all must have, and what one part has, all must have, but for the bias of
// `without_bias` ("k", or "": of none), which is zero where no block has it. What is missing or of
// another shape than its neighbours is an Error that names it as the file would.
void fuse_rows(StateDict& tensors, const std::string& place, const std::vector<std::string>& parts,
               const std::string& fused, const std::string& without_bias = "");

}  // namespace last
