#include "common/tensor_file/tensor_source.h"

#include "common/error.h"
#include "common/tensor_file/safetensors_header.h"

namespace last {

at::Tensor TensorSource::slice(const std::string& name, int64_t index) const {
  const at::Tensor whole = tensor(name);
  if (whole.dim() == 0 || index < 0 || index >= whole.size(0)) {
    fail("\"", path(), "\": tensor ", quoted_name(name), " has no row ", index);
  }
  return whole.select(0, index);
}

}  // namespace last
