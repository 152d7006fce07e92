#include "extractor/backbone/state_dict.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include "common/error.h"

namespace last {
namespace {

size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, substituted});
    }
  }
  return row.back();
}

// One layer and kind ("weight" or "bias"); `layer` is "blocks.0.attn.".
void fuse_one(StateDict& tensors, const std::string& layer, const std::vector<std::string>& parts,
              const std::string& fused, const std::string& kind) {
  std::vector<NamedTensor> rows;  // without a shape: absent
  NamedTensor first;
  std::string origin;
  for (const std::string& part : parts) {
    const auto found = tensors.find(concat(layer, part, ".", kind));
    if (found == tensors.end()) {
      rows.emplace_back();
      continue;
    }
    rows.push_back(found->second);
    if (first.shape.empty()) first = found->second;
    if (rows.back().dim() == 0) fail("tensor ", found->second.origin, " has no rows");
    origin += (origin.empty() ? "" : ", ") + found->second.origin;
    tensors.erase(found);
  }
  if (origin.empty()) return;
  for (NamedTensor& part : rows) {
    if (!part.shape.empty()) continue;
    if (kind == "weight") fail("a tensor that belongs to ", origin, " is missing");
    part = NamedTensor(at::zeros({first.shape.front()}, c10::ScalarType::Float), "");
  }
  NamedTensor result = first;
  result.origin = origin;
  result.shape.front() = 0;
  for (const NamedTensor& part : rows) {
    if (!std::equal(part.shape.begin() + 1, part.shape.end(), first.shape.begin() + 1,
                    first.shape.end())) {
      fail("tensors ", origin, " differ in shape: ", at::IntArrayRef(first.shape), " and ",
           at::IntArrayRef(part.shape));
    }
    result.shape.front() += part.shape.front();
  }
  result.read_row = nullptr;
  result.read = [rows] {
    std::vector<at::Tensor> tensors_of_rows;
    for (const NamedTensor& part : rows) tensors_of_rows.push_back(part.read());
    return at::cat(tensors_of_rows);
  };
  tensors[concat(layer, fused, ".", kind)] = std::move(result);
}

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

StateDict renamed(const StateDict& tensors, const Replacements& replacements) {
  StateDict result;
  for (const auto& [old_name, entry] : tensors) {
    std::string name = old_name;
    for (const auto& [from, to] : replacements) {
      const size_t place = name.find(from);
      if (place != std::string::npos) name.replace(place, from.size(), to);
    }
    const auto [existing, inserted] = result.emplace(name, entry);
    if (!inserted) {
      fail("tensors ", existing->second.origin, " and ", entry.origin, " are both ", name);
    }
  }
  return result;
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

void fuse_rows(StateDict& tensors, const std::string& place, const std::vector<std::string>& parts,
               const std::string& fused) {
  const std::string first = place + parts.front() + ".weight";
  std::vector<std::string> layers;
  for (const auto& [name, entry] : tensors) {
    if (name.ends_with(first)) layers.push_back(name.substr(0, name.size() - first.size()) + place);
  }
  for (const std::string& layer : layers) {
    fuse_one(tensors, layer, parts, fused, "weight");
    fuse_one(tensors, layer, parts, fused, "bias");
  }
}

std::string nearest_name(const std::string& name, const std::vector<std::string>& candidates) {
  std::string nearest;
  size_t smallest = name.size() / 3 + 1;  // farther names would be no help
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(name, candidate);
    if (distance < smallest) {
      smallest = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace last
