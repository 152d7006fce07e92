#include "extractor/backbone/tensor_taker.h"

#include <algorithm>
#include <utility>

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "common/error.h"
#include "common/tensor_file/safetensors_header.h"

namespace last {

TensorTaker::TensorTaker(const CanonicalCheckpoint& checkpoint, std::string path, bool only_check)
    : checkpoint_(checkpoint), path_(std::move(path)), only_check_(only_check) {}

at::Tensor TensorTaker::take(const std::string& name, const std::vector<int64_t>& shape,
                             c10::ScalarType dtype) {
  const auto found = checkpoint_.tensors.find(name);
  if (found == checkpoint_.tensors.end()) {
    missing_.emplace_back(name, shape);
    return only_check_ ? at::Tensor() : at::zeros(shape, dtype);
  }
  const NamedTensor& tensor = found->second;
  if (tensor.shape != shape) {
    fail("\"", path_, "\": tensor ", quoted_name(tensor.origin), ": shape ", at::IntArrayRef(shape),
         " expected, found ", at::IntArrayRef(tensor.shape));
  }
  if (!c10::isFloatingType(tensor.dtype)) {
    fail("\"", path_, "\": tensor ", quoted_name(tensor.origin),
         ": floating-point numbers expected, found ", c10::toString(tensor.dtype),
         " (a quantised checkpoint?)");
  }
  taken_.insert(name);
  if (only_check_) return {};
  // A copy: a run of days must not depend on pages of a file that someone may cut or replace. It is
  // allocated before what read() may need, which leaves no holes behind.
  return at::empty(shape, dtype).copy_(tensor.read());
}

void TensorTaker::finish() const {
  std::vector<std::string> left_over;
  for (const auto& [name, entry] : checkpoint_.tensors) {
    if (taken_.count(name) == 0) left_over.push_back(name);
  }
  if (!missing_.empty()) {
    const auto& [name, shape] = missing_.front();
    const std::string nearest = nearest_name(name, left_over);
    fail("\"", path_, "\": tensor ", quoted_name(name_in_file(checkpoint_, name)), " ",
         at::IntArrayRef(shape), " is missing",
         nearest.empty()
             ? ""
             : "; the nearest name is " + quoted_name(checkpoint_.tensors.at(nearest).origin));
  }
  if (!left_over.empty()) {
    const NamedTensor& extra = checkpoint_.tensors.at(left_over.front());
    const std::string nearest = nearest_name(left_over.front(), {taken_.begin(), taken_.end()});
    fail("\"", path_, "\": tensor ", quoted_name(extra.origin), " ", at::IntArrayRef(extra.shape),
         " has no place in the ViTs that this program knows; leaving it out could change the "
         "features",
         nearest.empty()
             ? ""
             : "; the nearest known name is " + quoted_name(name_in_file(checkpoint_, nearest)));
  }
}

}  // namespace last
