#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "common/last/engine.h"

namespace last {

// A bank of some shape with random parameters (A_up among them), a random batch and labels.
struct RandomBank {
  BankConfig config;
  Parameters parameters;
  at::Tensor features;  // [B, layers, n, D]
  at::Tensor labels;    // [K, B]
  std::vector<uint8_t> active;

  int64_t batch() const { return features.size(0); }
};

// What differs from test to test.
struct BankShape {
  std::string name;
  NetworkConfig network;
  int64_t depth = 4;
  int64_t dim = 80;
  int64_t tokens = 37;
  int64_t prefix_tokens = 1;
  std::vector<int64_t> classes = {5};
  std::vector<double> smoothing = {};  // default: none
  int64_t batch = 5;
  at::ScalarType type = at::kHalf;
  int64_t unlabelled_every = 0;      // every so many rows have no label
  std::vector<uint8_t> active = {};  // default: all
};

RandomBank make_random_bank(const BankShape& shape, uint64_t seed);

struct Step {
  BatchResult result;
  Parameters gradients;
  at::Tensor logits;
};

// One call of each of the engine's functions; gradients are filled with 7 before.
Step run_step(Engine& engine, const RandomBank& bank);

// max|a - b| / max|b|; 0 if both are zero.
double relative_difference(const at::Tensor& a, const at::Tensor& b);

}  // namespace last
