#include "extractor/backbone/state_dict.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "common/error.h"
#include "common/io/edit_distance.h"
#include "common/tensor_file/safetensors_header.h"

namespace last {
namespace {

void ignore_where(StateDict& tensors, std::vector<IgnoredTensor>& ignored, const IgnoreRules& rules,
                  bool (*fits)(const std::string& name, const std::string& part)) {
  for (auto entry = tensors.begin(); entry != tensors.end();) {
    const auto rule = std::find_if(rules.begin(), rules.end(), [&](const auto& candidate) {
      return fits(entry->first, candidate.first);
    });
    if (rule == rules.end()) {
      ++entry;
      continue;
    }
    ignored.push_back({entry->second.origin, rule->second});
    entry = tensors.erase(entry);
  }
}

}  // namespace

NamedTensor::NamedTensor(const at::Tensor& tensor, std::string origin_name)
    : shape(tensor.sizes().vec()),
      dtype(tensor.scalar_type()),
      origin(std::move(origin_name)),
      read([tensor] { return tensor; }) {}

StateDict read_state_dict(const std::shared_ptr<const TensorSource>& source) {
  StateDict tensors;
  for (const std::string& name : source->names()) {
    NamedTensor& tensor = tensors[name];
    tensor.shape = source->shape(name);
    for (const int64_t size : tensor.shape) {
      // Products of two sizes then fit into 64 bits, also where nothing else has checked them:
      // types that can't be read, and tensors without elements.
      constexpr int64_t kLargest = std::numeric_limits<int32_t>::max();
      if (size > kLargest) {
        fail("\"", source->path(), "\": tensor ", quoted_name(name), ": shape ",
             at::IntArrayRef(tensor.shape), " is too large");
      }
    }
    tensor.dtype = source->dtype(name);
    tensor.origin = name;
    tensor.read = [source, name] { return source->tensor(name); };
    tensor.read_row = [source, name](int64_t index) { return source->slice(name, index); };
  }
  return tensors;
}

NamedTensor changed(const NamedTensor& tensor, std::vector<int64_t> shape,
                    std::function<at::Tensor(const at::Tensor&)> change) {
  NamedTensor result = tensor;
  result.shape = std::move(shape);
  result.read = [read = tensor.read, change = std::move(change)] { return change(read()); };
  result.read_row = nullptr;
  return result;
}

StateDict below_prefix(const StateDict& tensors, const std::string& prefix) {
  StateDict result;
  for (auto entry = tensors.lower_bound(prefix);
       entry != tensors.end() && entry->first.starts_with(prefix); ++entry) {
    result[entry->first.substr(prefix.size())] = entry->second;
  }
  return result;
}

void insert_new(StateDict& tensors, const std::string& name, const NamedTensor& tensor) {
  const auto [existing, inserted] = tensors.emplace(name, tensor);
  if (!inserted) {
    fail("tensors ", quoted_name(existing->second.origin), " and ", quoted_name(tensor.origin),
         " are both ", quoted_name(name));
  }
}

StateDict renamed(const StateDict& tensors, const Replacements& replacements) {
  StateDict result;
  for (const auto& [old_name, entry] : tensors) {
    std::string name = old_name;
    for (const auto& [from, to] : replacements) {
      const size_t place = name.find(from);
      if (place != std::string::npos) name.replace(place, from.size(), to);
    }
    insert_new(result, name, entry);
  }
  return result;
}

std::string undo_renaming(const Replacements& replacements, const StateDict& tensors,
                          std::string name) {
  const auto is_used = [&](const std::string& part) {
    return std::ranges::any_of(
        tensors, [&](const auto& entry) { return entry.first.find(part) != std::string::npos; });
  };
  std::set<std::string> undone;
  for (auto last = replacements.rbegin(); last != replacements.rend(); ++last) {
    const std::string& to = last->second;
    const size_t place = name.find(to);
    if (place == std::string::npos || !undone.insert(to).second) continue;
    std::string from;
    for (const auto& [other_from, other_to] : replacements) {
      if (other_to != to) continue;
      if (from.empty() && !is_used(to)) from = other_from;
      if (is_used(other_from)) {
        from = other_from;
        break;
      }
    }
    if (!from.empty()) name.replace(place, to.size(), from);
  }
  return name;
}

void ignore(StateDict& tensors, std::vector<IgnoredTensor>& ignored, const IgnoreRules& rules) {
  ignore_where(tensors, ignored, rules, [](const std::string& name, const std::string& part) {
    return name.starts_with(part);
  });
}

void ignore_endings(StateDict& tensors, std::vector<IgnoredTensor>& ignored,
                    const IgnoreRules& rules) {
  ignore_where(tensors, ignored, rules, [](const std::string& name, const std::string& part) {
    return name.ends_with(part);
  });
}

std::string nearest_name(const std::string& name, const std::vector<std::string>& candidates) {
  std::string nearest;
  constexpr size_t kLongest = 200;  // the time grows with the product of the lengths
  constexpr size_t kMost = 50000;
  if (name.size() > kLongest || candidates.size() > kMost) return nearest;
  size_t smallest = name.size() / 3 + 1;  // farther names would be no help
  for (const std::string& candidate : candidates) {
    // no distance is smaller than the difference of the lengths
    if (std::max(name.size(), candidate.size()) - std::min(name.size(), candidate.size()) >=
        smallest) {
      continue;
    }
    const size_t distance = edit_distance(name, candidate);
    if (distance < smallest) {
      smallest = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace last
