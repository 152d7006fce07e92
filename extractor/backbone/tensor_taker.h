#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "extractor/backbone/families/family.h"

namespace last {

// Hands out the tensors of a checkpoint one by one, with their shapes checked, and knows which were
// never asked for.
class TensorTaker {
 public:
  // `only_check`: nothing is read, and what take() returns is undefined.
  TensorTaker(const CanonicalCheckpoint& checkpoint, std::string path, bool only_check);

  // A copy on the CPU. Errors: another shape, not of a floating-point type. A missing tensor is
  // reported by finish(), when it is known which names are left over.
  at::Tensor take(const std::string& name, const std::vector<int64_t>& shape,
                  c10::ScalarType dtype = c10::ScalarType::Float);
  bool has(const std::string& name) const { return checkpoint_.tensors.count(name) != 0; }
  bool only_checks() const { return only_check_; }
  // An Error names the first tensor that is missing (and the nearest name left over), or else the
  // first that nobody took.
  void finish() const;

 private:
  const CanonicalCheckpoint& checkpoint_;
  std::string path_;
  bool only_check_;
  std::set<std::string> taken_;
  std::vector<std::pair<std::string, std::vector<int64_t>>> missing_;
};

}  // namespace last
