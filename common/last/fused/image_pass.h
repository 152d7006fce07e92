#pragma once

#include <span>
#include <vector>

#include "common/last/fused/kernels.h"
#include "common/last/fused/module_view.h"
#include "common/last/fused/plan.h"
#include "common/last/fused/tickets.h"
#include "common/last/fused/workspace.h"

namespace last::fused {

// What a network has in the crossed form (crossed.h), nothing in the plain one.
struct CrossedNetwork {
  const float* weights;
  float* sums;
};

// One image through one network after the other, in one thread.
class ImagePass {
 public:
  ImagePass(const Plan& plan, const Kernels& kernels)
      : plan_(plan), shape_(plan.shape), kernels_(kernels), work_(plan) {}

  // Takes the image's maps, [layers, n, D]: sums P_i, and what pooling makes of the backbone's part
  // of the output.
  void load(const void* features, FeatureType type);

  // pooled [padded_dim]: the pooled output of the network, before the final norm. Stays valid until
  // the next call. `kernels`: those of the constructor, or others if no backward() follows.
  const float* forward(std::span<const ModuleView> modules, const Kernels& kernels);

  // After forward() of the same network: adds the gradients of its modules. pooled_gradient
  // [padded_dim]: d loss / d pooled, to be filled in before.
  float* pooled_gradient() { return work_.pooled_gradient; }
  // `crossed`: BankView::crossed_weights and GradientView::crossed_sums of the network.
  void backward(std::span<const ModuleView> modules, std::span<const ModuleGradients> gradients,
                const CrossedNetwork& crossed, const Turn& turn);

 private:
  void forward_module(std::span<const ModuleView> modules, int module, const Kernels& kernels);
  void pooled_branch_backward(const ModuleView& module, const ModuleGradients& gradients,
                              const Turn& turn);
  void backward_module(std::span<const ModuleView> modules,
                       std::span<const ModuleGradients> gradients, const CrossedNetwork& crossed,
                       int module, const Turn& turn);
  void cross_module(const CrossedNetwork& crossed, int module, const Turn& turn);
  void add_crossed_attended(const CrossedNetwork& crossed, int module);
  void add_strip(std::span<const ModuleGradients> gradients, int module, int strip,
                 const Turn& turn);

  const Plan& plan_;
  const Shape& shape_;
  const Kernels& kernels_;
  Workspace work_;
  std::vector<CrossedTerm> terms_;
  std::vector<const float*> attended_;
};

}  // namespace last::fused
