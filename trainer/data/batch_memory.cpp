#include "trainer/data/batch_memory.h"

#include <utility>

#include <ATen/ops/empty.h>

namespace last {

bool is_shared(const at::Tensor& tensor) {
  return tensor.use_count() > 1 || tensor.storage().use_count() > 1;
}

at::Tensor BatchMemory::take(at::IntArrayRef sizes, const at::TensorOptions& options) {
  while (!kept_.empty()) {
    at::Tensor tensor = std::move(kept_.back());
    kept_.pop_back();
    if (tensor.sizes() == sizes && tensor.dtype() == options.dtype() &&
        (!options.pinned_memory() || tensor.is_pinned())) {
      return tensor;
    }
  }
  return at::empty(sizes, options);
}

void BatchMemory::keep(at::Tensor tensor) {
  if (tensor.defined() && !is_shared(tensor)) kept_.push_back(std::move(tensor));
}

}  // namespace last
