#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "common/tensor_file/tensor_source.h"

namespace last {

// A tensor of a checkpoint, which is read when it is asked for: a whole model may be larger than
// memory. What read() returns belongs to nobody else but may lie in a mapped file.
struct NamedTensor {
  NamedTensor() = default;
  NamedTensor(const at::Tensor& tensor, std::string origin_name);

  std::vector<int64_t> shape;
  c10::ScalarType dtype = c10::ScalarType::Undefined;
  std::string origin;  // its name, or their names, in the file
  std::function<at::Tensor()> read;
  // Row `index` of the first dimension alone; undefined where the whole has to be read for it.
  std::function<at::Tensor(int64_t)> read_row;

  int64_t dim() const { return static_cast<int64_t>(shape.size()); }
};

using StateDict = std::map<std::string, NamedTensor>;

struct IgnoredTensor {
  std::string name;  // in the file
  std::string reason;
};

StateDict read_state_dict(const std::shared_ptr<const TensorSource>& source);

// `tensor` as `change` makes it, with the shape that it has then.
NamedTensor changed(const NamedTensor& tensor, std::vector<int64_t> shape,
                    std::function<at::Tensor(const at::Tensor&)> change);

// The entries below `prefix`, without it.
StateDict below_prefix(const StateDict& tensors, const std::string& prefix);

// An Error with the names of both in the file where there is a tensor `name` already.
void insert_new(StateDict& tensors, const std::string& name, const NamedTensor& tensor);

// Applies `from -> to` to every name, in order, at the first place where `from` occurs. Two entries
// that end up with one name are an Error.
using Replacements = std::vector<std::pair<std::string, std::string>>;
StateDict renamed(const StateDict& tensors, const Replacements& replacements);

// What renamed() would make `name` of, in a file of `tensors`: where several names become one, that
// which the file uses.
std::string undo_renaming(const Replacements& replacements, const StateDict& tensors,
                          std::string name);

// Moves entries whose names start with a rule's first part to `ignored`.
using IgnoreRules = std::vector<std::pair<std::string, std::string>>;  // prefix, reason
void ignore(StateDict& tensors, std::vector<IgnoredTensor>& ignored, const IgnoreRules& rules);

// Moves entries whose names end with a rule's first part to `ignored`.
void ignore_endings(StateDict& tensors, std::vector<IgnoredTensor>& ignored,
                    const IgnoreRules& rules);

// The most similar of `candidates` by edit distance; empty where none is near.
std::string nearest_name(const std::string& name, const std::vector<std::string>& candidates);

}  // namespace last
