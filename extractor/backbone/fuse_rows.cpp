#include "extractor/backbone/fuse_rows.h"

#include <algorithm>
#include <utility>

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros_like.h>

#include "common/error.h"
#include "common/tensor_file/safetensors_header.h"
#include "extractor/backbone/families/family.h"

namespace last {
namespace {

class Fusion {
 public:
  Fusion(StateDict& tensors, const std::string& place, const std::vector<std::string>& parts,
         const std::string& fused, const std::string& without_bias)
      : tensors_(tensors),
        place_(place),
        parts_(parts),
        fused_(fused),
        without_bias_(without_bias),
        depth_(count_blocks(tensors)) {}

  void run(const std::string& kind) {
    const bool any = std::any_of(parts_.begin(), parts_.end(),
                                 [&](const auto& part) { return any_block_has(part, kind); });
    if (!any) return;
    StateDict fused;
    for (int64_t i = 0; i < depth_; ++i) fused[name(i, fused_, kind)] = fuse_block(i, kind);
    for (int64_t i = 0; i < depth_; ++i) {
      for (const std::string& part : parts_) tensors_.erase(name(i, part, kind));
    }
    for (auto& [fused_name, tensor] : fused) {
      const auto [existing, inserted] = tensors_.emplace(fused_name, tensor);
      if (!inserted) {
        fail("tensors ", quoted_name(existing->second.origin), " and ", quoted_name(tensor.origin),
             " stand for the same");
      }
    }
  }

 private:
  std::string name(int64_t block, const std::string& part, const std::string& kind) const {
    return concat("blocks.", block, place_, part, ".", kind);
  }

  bool any_block_has(const std::string& part, const std::string& kind) const {
    for (int64_t i = 0; i < depth_; ++i) {
      if (tensors_.count(name(i, part, kind)) != 0) return true;
    }
    return false;
  }

  bool is_part(const std::string& candidate) const {
    return std::any_of(parts_.begin(), parts_.end(), [&](const auto& part) {
      return candidate.ends_with(concat(place_, part, ".weight")) ||
             candidate.ends_with(concat(place_, part, ".bias"));
    });
  }

  // In order; without an origin: zeros.
  std::vector<NamedTensor> parts_of(int64_t block, const std::string& kind) const {
    std::vector<NamedTensor> rows;
    for (const std::string& part : parts_) {
      const auto found = tensors_.find(name(block, part, kind));
      if (found != tensors_.end()) {
        rows.push_back(found->second);
      } else if (kind == "bias" && part == without_bias_ && !any_block_has(part, kind)) {
        rows.emplace_back();
      } else {
        fail_missing(tensors_, name(block, part, kind),
                     [&](const auto& other) { return is_part(other); });
      }
    }
    return rows;
  }

  NamedTensor fuse_block(int64_t block, const std::string& kind) const {
    const std::vector<NamedTensor> rows = parts_of(block, kind);
    NamedTensor result = *std::find_if(rows.begin(), rows.end(),
                                       [](const auto& part) { return !part.origin.empty(); });
    result.origin.clear();
    std::string shapes;
    bool differ = false;
    const auto dims = static_cast<int64_t>(kind == "weight" ? 2 : 1);
    for (const NamedTensor& part : rows) {
      if (part.origin.empty()) continue;
      if (part.dim() != dims) {
        fail("tensor ", quoted_name(part.origin), ": ", dims, " dimensions expected, found shape ",
             at::IntArrayRef(part.shape));
      }
      differ |= part.shape != result.shape;
      shapes += concat(shapes.empty() ? "" : ", ", quoted_name(part.origin), " ",
                       at::IntArrayRef(part.shape));
      result.origin += (result.origin.empty() ? "" : ", ") + part.origin;
    }
    if (differ) fail("tensors that belong together differ in shape: ", shapes);
    result.shape.front() *= static_cast<int64_t>(parts_.size());
    result.read_row = nullptr;
    result.read = [rows] {
      std::vector<at::Tensor> read;
      for (const NamedTensor& part : rows) read.push_back(part.read ? part.read() : at::Tensor());
      const at::Tensor like = read.front().defined() ? read.front() : read.back();
      for (at::Tensor& part : read) {
        if (!part.defined()) part = at::zeros_like(like);
      }
      return at::cat(read);
    };
    return result;
  }

  StateDict& tensors_;
  const std::string& place_;
  const std::vector<std::string>& parts_;
  const std::string& fused_;
  const std::string& without_bias_;
  int64_t depth_;
};

}  // namespace

void fuse_rows(StateDict& tensors, const std::string& place, const std::vector<std::string>& parts,
               const std::string& fused, const std::string& without_bias) {
  Fusion fusion(tensors, place, parts, fused, without_bias);
  fusion.run("weight");
  fusion.run("bias");
}

}  // namespace last
