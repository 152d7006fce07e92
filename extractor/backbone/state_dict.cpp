#include "extractor/backbone/state_dict.h"

#include <algorithm>
#include <numeric>

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
  std::vector<at::Tensor> rows;
  std::string origin;
  int64_t count = 0;
  for (const std::string& part : parts) {
    const auto found = tensors.find(concat(layer, part, ".", kind));
    if (found == tensors.end()) {
      rows.emplace_back();
      continue;
    }
    rows.push_back(found->second.tensor);
    if (rows.back().dim() == 0) fail("tensor ", found->second.origin, " has no rows");
    count = rows.back().size(0);
    origin += (origin.empty() ? "" : ", ") + found->second.origin;
    tensors.erase(found);
  }
  if (origin.empty()) return;
  for (at::Tensor& part : rows) {
    if (part.defined()) continue;
    if (kind == "weight") fail("a tensor that belongs to ", origin, " is missing");
    part = at::zeros({count}, c10::ScalarType::Float);
  }
  for (const at::Tensor& part : rows) {
    if (part.sizes().slice(1) != rows.front().sizes().slice(1)) {
      fail("tensors ", origin, " differ in shape: ", rows.front().sizes(), " and ", part.sizes());
    }
  }
  tensors[concat(layer, fused, ".", kind)] = {at::cat(rows), origin};
}

}  // namespace

StateDict read_state_dict(const TensorSource& source) {
  StateDict tensors;
  for (const std::string& name : source.names()) tensors[name] = {source.tensor(name), name};
  return tensors;
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
  for (auto entry = tensors.begin(); entry != tensors.end();) {
    const auto rule = std::find_if(rules.begin(), rules.end(), [&](const auto& candidate) {
      return entry->first.starts_with(candidate.first);
    });
    if (rule == rules.end()) {
      ++entry;
      continue;
    }
    ignored.push_back({entry->second.origin, rule->second});
    entry = tensors.erase(entry);
  }
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
