#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/last/engine.h"
#include "common/last/fused/head.h"
#include "common/last/fused/kernels.h"
#include "common/last/fused/module_view.h"
#include "common/last/fused/plan.h"
#include "common/last/parameters.h"

namespace last::fused {

// Pointers into the stacked parameters of a bank, and what is made of them once per batch.
class BankView {
 public:
  // `parameters` must stay alive and in place. training: prepare_crossed() will be called.
  BankView(const Plan& plan, const BankConfig& config, const Parameters& parameters, bool training);

  // Has to be called for every module before its view is used; different ones in different threads.
  void prepare(const Kernels& kernels, int64_t network, int module);
  // Then for every module in the crossed form but the last of them.
  void prepare_crossed(const Kernels& kernels, int64_t network, int module);

  std::span<const ModuleView> modules(int64_t network) const;
  // Of CrossedLayout::weights(), of a view for training.
  const float* crossed_weights(int64_t network) const;
  HeadView head(int64_t network) const;

 private:
  size_t index(int64_t network, int module) const;

  const Plan& plan_;
  const BankConfig& config_;
  const Parameters& parameters_;
  std::vector<ModuleView> modules_;  // [K, M]
  std::vector<float> column_means_;  // [K, M, qkv_stride]
  std::vector<float> shifts_;        // [K, M, qkv_stride]
  std::vector<float> up_means_;      // [K, M, rank_stride]
  std::vector<float> crossed_;       // [K, CrossedLayout::weights()]
};

// The same for gradients.
class GradientView {
 public:
  GradientView(const Plan& plan, int64_t networks, Parameters& gradients);

  std::span<const ModuleGradients> modules(int64_t network) const;
  // Of CrossedLayout::sums().
  float* crossed_sums(int64_t network);
  // Turns the sums over the batch into the gradients of the parameters, in place.
  void finish(const Kernels& kernels, const ModuleView& parameters, int64_t network, int module);
  Parameters& tensors() { return gradients_; }

 private:
  const Plan& plan_;
  Parameters& gradients_;
  std::vector<ModuleGradients> modules_;  // [K, M]
  std::vector<float> shifts_;             // [K, M, qkv_stride]
  std::vector<float> crossed_;            // [K, CrossedLayout::sums()]
};

}  // namespace last::fused
