#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/last/config.h"

namespace last {

// One network of a run: a point of the grid.
struct Setting {
  int64_t index = 0;   // in grid order; its name in every table
  int64_t target = 0;  // index into the run's targets
  NetworkConfig network;
  double learning_rate = 1e-3;
  double head_learning_rate_scale = 1;
  double weight_decay = 0.05;
  double label_smoothing = 0;
  int64_t seed = 0;
};

// Equal but for the seed (and the index): such networks are repetitions of one setting.
bool same_but_for_seed(const Setting& a, const Setting& b);

// The values of every option that takes a list.
struct SearchSpace {
  std::vector<Method> methods = {Method::kLast};
  std::vector<int64_t> ranks = {16};
  std::vector<int64_t> gaps = {1};
  std::vector<int64_t> heads = {1};
  std::vector<int64_t> modules = {1};
  std::vector<Variant> variants = {Variant::kD};
  std::vector<bool> bias_corrections = {true};
  std::vector<bool> biases = {false};
  std::vector<Pool> pools = {Pool::kMeanPatch};
  std::vector<FinalNorm> norms = {FinalNorm::kFrozen};
  std::vector<double> learning_rates = {1e-3};
  std::vector<double> head_learning_rate_scales = {1};
  std::vector<double> weight_decays = {0.05};
  std::vector<double> label_smoothings = {0};
  std::vector<int64_t> seeds = {0};
};

// All combinations for all targets, numbered in grid order: method, target, then the options in the
// order above, the last one fastest. A linear probe ignores the options of the LSA modules and is
// not multiplied by them.
std::vector<Setting> make_grid(const SearchSpace& space, int64_t targets);

}  // namespace last
