#pragma once

#include <span>

#include "common/last/fused/kernels.h"
#include "common/last/fused/network_view.h"
#include "common/last/fused/plan.h"
#include "common/last/fused/workspace.h"

namespace last::fused {

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
  void backward(std::span<const ModuleView> modules, std::span<const ModuleGradients> gradients,
                const Turn& turn);

 private:
  void forward_module(std::span<const ModuleView> modules, int module, const Kernels& kernels);
  void pooled_branch_backward(const ModuleView& module, const ModuleGradients& gradients,
                              const Turn& turn);
  void backward_module(std::span<const ModuleView> modules,
                       std::span<const ModuleGradients> gradients, int module, const Turn& turn);
  void add_strip(std::span<const ModuleGradients> gradients, int module, int strip,
                 const Turn& turn);

  const Plan& plan_;
  const Shape& shape_;
  const Kernels& kernels_;
  Workspace work_;
};

}  // namespace last::fused
