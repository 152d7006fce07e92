#include "extractor/backbone/tensor_taker.h"

#include <algorithm>
#include <utility>

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "common/error.h"

namespace last {

TensorTaker::TensorTaker(const StateDict& tensors, std::string path, bool only_check)
    : tensors_(tensors), path_(std::move(path)), only_check_(only_check) {}

at::Tensor TensorTaker::take(const std::string& name, const std::vector<int64_t>& shape,
                             c10::ScalarType dtype) {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    missing_.emplace_back(name, shape);
    return only_check_ ? at::Tensor() : at::zeros(shape, dtype);
  }
  const NamedTensor& tensor = found->second;
  if (tensor.shape != shape) {
    fail("\"", path_, "\": tensor ", tensor.origin, ": shape ", at::IntArrayRef(shape),
         " expected, found ", at::IntArrayRef(tensor.shape));
  }
  if (!c10::isFloatingType(tensor.dtype)) {
    fail("\"", path_, "\": tensor ", tensor.origin, ": floating-point numbers expected, found ",
         c10::toString(tensor.dtype), " (a quantised checkpoint?)");
  }
  taken_.insert(name);
  if (only_check_) return {};
  // A copy: a run of days must not depend on pages of a file that someone may cut or replace. It is
  // allocated before what read() may need, which leaves no holes behind.
  return at::empty(shape, dtype).copy_(tensor.read());
}

bool TensorTaker::any_block_has(const std::string& suffix) const {
  return std::any_of(tensors_.begin(), tensors_.end(), [&](const auto& entry) {
    return entry.first.starts_with("blocks.") && entry.first.ends_with(suffix);
  });
}

void TensorTaker::finish() const {
  std::vector<std::string> left_over;
  for (const auto& [name, entry] : tensors_) {
    if (taken_.count(name) == 0) left_over.push_back(name);
  }
  if (!missing_.empty()) {
    const auto& [name, shape] = missing_.front();
    const std::string nearest = nearest_name(name, left_over);
    fail("\"", path_, "\": tensor ", name, " ", at::IntArrayRef(shape), " is missing",
         nearest.empty() ? "" : "; the nearest name is " + tensors_.at(nearest).origin);
  }
  if (!left_over.empty()) {
    const NamedTensor& extra = tensors_.at(left_over.front());
    const std::string nearest = nearest_name(left_over.front(), {taken_.begin(), taken_.end()});
    fail("\"", path_, "\": tensor ", extra.origin, " ", at::IntArrayRef(extra.shape),
         " has no place in the ViTs that this program knows; leaving it out could change the "
         "features",
         nearest.empty() ? "" : "; the nearest known name is " + nearest);
  }
}

}  // namespace last
