#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

namespace last {

// Memory of batches, used again from batch to batch and from epoch to epoch: fresh memory costs the
// system as much time as reading a batch that it still has in its cache. Used by one thread.
class BatchMemory {
 public:
  // Uninitialised; what was kept with other sizes or options is released.
  at::Tensor take(at::IntArrayRef sizes, const at::TensorOptions& options);
  // Ignored where somebody else holds the tensor.
  void keep(at::Tensor tensor);

 private:
  std::vector<at::Tensor> kept_;
};

// Whether somebody else holds `tensor` or a view of it.
bool is_shared(const at::Tensor& tensor);

}  // namespace last
