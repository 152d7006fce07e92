#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "common/backbone_info.h"
#include "common/last/config.h"

namespace last {

// The trainable parameters of a bank of K networks of one shape, stacked, fp32, contiguous. M is
// the number of LSA modules of a network (blocks * T, in order), C the largest class count of the
// bank: a network with fewer classes has zero rows at the end, which are masked out of its softmax.
// A tensor that the shape doesn't have is undefined.
struct Parameters {
  at::Tensor norm_weight;  // [K, M, D]      gamma of the modules' LayerNorm
  at::Tensor norm_bias;    // [K, M, D]      beta
  at::Tensor qkv_weight;   // [K, M, D, 3r]  columns: A_Q, A_K, A_V, head after head inside each
  at::Tensor qkv_bias;     // [K, M, 3r]     with biases
  at::Tensor up_weight;    // [K, M, r, D]   A_up
  at::Tensor up_bias;      // [K, M, D]      with biases
  at::Tensor final_norm_weight;  // [K, D]   norm = trainable
  at::Tensor final_norm_bias;    // [K, D]   norm = trainable
  at::Tensor head_weight;        // [K, C, D]
  at::Tensor head_bias;          // [K, C]

  // The defined tensors with their names ("qkv_weight", ..), always in the order above.
  std::vector<std::pair<std::string, at::Tensor>> named() const;
  // Network k as a bank of one (a view).
  Parameters network(int64_t k) const;
  // A copy of some networks, in the order given, with the first `classes` rows of the head.
  Parameters networks(const std::vector<int64_t>& indices, int64_t classes) const;
  Parameters clone() const;
  Parameters zeros_like() const;
  Parameters to(c10::Device device) const;
};

// All zeros, of the given shape on the CPU.
Parameters make_parameters(int64_t networks, const NetworkConfig& config,
                           const BackboneInfo& backbone, int64_t classes);

// Fills network k with its initial values, which depend on the shape, the class count and `seed`
// only: A_Q, A_K, A_V uniform in +-1/sqrt(D), A_up zero, norms 1 and 0 (trainable final norm: the
// backbone's), head weight normal(std 0.02), biases 0.
void initialize_network(Parameters& parameters, int64_t k, const NetworkConfig& config,
                        const BackboneInfo& backbone, int64_t classes, uint64_t seed);

// Trainable numbers of one network with `classes` outputs; without: the head's Linear left out.
int64_t count_parameters(const NetworkConfig& config, const BackboneInfo& backbone,
                         int64_t classes);
int64_t count_parameters_without_head(const NetworkConfig& config, const BackboneInfo& backbone);

}  // namespace last
