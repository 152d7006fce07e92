#include "extractor/backbone/tensor_taker.h"

#include <algorithm>
#include <utility>

#include <ATen/ops/zeros.h>

#include "common/error.h"

namespace last {

TensorTaker::TensorTaker(const StateDict& tensors, std::string path)
    : tensors_(tensors), path_(std::move(path)) {}

at::Tensor TensorTaker::take(const std::string& name, const std::vector<int64_t>& shape) {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    missing_.emplace_back(name, shape);
    return at::zeros(shape, c10::ScalarType::Float);
  }
  const auto& [tensor, origin] = found->second;
  if (tensor.sizes() != at::IntArrayRef(shape)) {
    fail("\"", path_, "\": tensor ", origin, ": shape ", at::IntArrayRef(shape),
         " expected, found ", tensor.sizes());
  }
  if (!tensor.is_floating_point()) {
    fail("\"", path_, "\": tensor ", origin, ": floating-point numbers expected, found ",
         c10::toString(tensor.scalar_type()), " (a quantised checkpoint?)");
  }
  taken_.push_back(name);
  // A copy: a run of days must not depend on pages of a file that someone may cut or replace.
  return tensor.to(c10::ScalarType::Float, /*non_blocking=*/false, /*copy=*/true);
}

bool TensorTaker::any_block_has(const std::string& suffix) const {
  return std::any_of(tensors_.begin(), tensors_.end(), [&](const auto& entry) {
    return entry.first.starts_with("blocks.") && entry.first.ends_with(suffix);
  });
}

void TensorTaker::finish() const {
  std::vector<std::string> left_over;
  for (const auto& [name, entry] : tensors_) {
    if (std::find(taken_.begin(), taken_.end(), name) == taken_.end()) left_over.push_back(name);
  }
  if (!missing_.empty()) {
    const auto& [name, shape] = missing_.front();
    const std::string nearest = nearest_name(name, left_over);
    fail("\"", path_, "\": tensor ", name, " ", at::IntArrayRef(shape), " is missing",
         nearest.empty() ? "" : "; the nearest name is " + tensors_.at(nearest).origin);
  }
  if (!left_over.empty()) {
    const NamedTensor& extra = tensors_.at(left_over.front());
    const std::string nearest = nearest_name(left_over.front(), taken_);
    fail("\"", path_, "\": tensor ", extra.origin, " ", extra.tensor.sizes(),
         " has no place in the ViTs that this program knows; leaving it out could change the "
         "features",
         nearest.empty() ? "" : "; the nearest known name is " + nearest);
  }
}

}  // namespace last
