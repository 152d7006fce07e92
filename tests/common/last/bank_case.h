#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "common/last/engine.h"

namespace last {

// A bank, a batch and parameters to compare engines on. Values are random but shaped like those of
// a real ViT: a residual stream whose prefix sums reach thousands in one channel and tens in the
// rest.
struct BankCase {
  std::string name;
  NetworkConfig network;
  int64_t depth = 4;
  int64_t dim = 48;
  int64_t grid = 3;  // grid * grid patches
  int64_t prefix_tokens = 1;
  int64_t images = 5;
  std::vector<int64_t> classes = {5, 3, 7};
  std::vector<double> smoothing = {0, 0.1, 0.3};
  at::ScalarType feature_type = at::kHalf;
  int64_t stored_gap = 1;  // layers 0, stored_gap, .. are stored
  bool unlabelled_rows = true;
  double score_scale = 1;  // of the weights of Q and K; scores grow with its square

  BankConfig config() const;
  at::Tensor features() const;    // [B, layers, n, D]
  at::Tensor labels() const;      // int32 [K, B]
  Parameters parameters() const;  // everything random, A_up too
  std::vector<uint8_t> all_active() const { return std::vector<uint8_t>(classes.size(), 1); }
};

// For GoogleTest's messages.
inline void PrintTo(const BankCase& bank, std::ostream* out) { *out << bank.name; }

// Every option of the method, and some shapes.
std::vector<BankCase> bank_cases();

// All options drawn at random, with a small batch, rank and channels up to 64 and 150.
BankCase draw_bank_case(uint64_t seed);

// max|a - b| / max|b|, in fp64 on the CPU; max|a| where b is all zeros.
double relative_difference(const at::Tensor& a, const at::Tensor& b);

// The same in fp64.
Parameters to_double(const Parameters& parameters);

struct Step {
  BatchResult result;
  Parameters gradients;
  at::Tensor logits;
};

// One step, and the logits, on the device of `parameters`.
Step run(Engine& engine, const BankCase& bank, const std::vector<uint8_t>& active,
         const Parameters& parameters);

// The reference engine in fp64.
Step run_reference(const BankCase& bank, const std::vector<uint8_t>& active);

// Expects results, gradients and logits of `step` within `tolerance` of `reference`.
void expect_close(const Step& step, const Step& reference, double tolerance);

}  // namespace last
