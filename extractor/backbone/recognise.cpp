#include "extractor/backbone/recognise.h"

#include <map>
#include <optional>

#include "common/error.h"
#include "common/tensor_file/safetensors_header.h"

namespace last {
namespace {

// In the order in which they are preferred where a file has several.
constexpr const char* kWrappers[] = {"model.",   "state_dict.",
                                     "module.",  "model_ema.",
                                     "teacher.", "backbone.",
                                     "encoder.", "visual.",
                                     "trunk.",   "vit.",
                                     "deit.",    "vision_model.",
                                     "dinov2.",  "dinov2_with_registers."};
constexpr int kMaxWrappers = 4;

struct Found {
  const Family* family;
  std::string prefix;
  StateDict tensors;
};

std::optional<Found> find_family(const StateDict& tensors, const std::string& wanted,
                                 const std::string& prefix, int depth) {
  for (const Family& family : families()) {
    if (wanted != "auto" && wanted != family.name) continue;
    if (family.recognises(tensors)) return Found{&family, prefix, tensors};
  }
  if (depth == kMaxWrappers) return std::nullopt;
  for (const char* wrapper : kWrappers) {
    const StateDict inside = below_prefix(tensors, wrapper);
    if (inside.empty()) continue;
    if (auto found = find_family(inside, wanted, prefix + wrapper, depth + 1)) return found;
  }
  return std::nullopt;
}

std::string known_families() {
  std::string names;
  for (const Family& family : families()) names += concat(names.empty() ? "" : ", ", family.name);
  return names;
}

std::string first_names(const StateDict& tensors) {
  std::string names;
  int count = 0;
  for (const auto& [name, entry] : tensors) {
    if (++count > 4) return names + ", ..";
    names += (names.empty() ? "" : ", ") + quoted_name(name);
  }
  return names.empty() ? "none" : names;
}

}  // namespace

RecognisedCheckpoint recognise_checkpoint(const StateDict& tensors, const std::string& family,
                                          const std::string& path) {
  auto found = find_family(tensors, family, "", 0);
  if (!found) {
    fail("\"", path, "\" is no checkpoint of a ViT ",
         family == "auto" ? "that this program knows" : "of family " + family,
         " (known families: ", known_families(), "); its tensors: ", first_names(tensors));
  }
  RecognisedCheckpoint result;
  result.family = found->family->description;
  result.prefix = found->prefix;
  result.checkpoint = found->family->convert(std::move(found->tensors));
  // A text model beside the vision model has hundreds: one line for each first part of the names.
  std::map<std::string, int> outside;
  for (const auto& [name, entry] : tensors) {
    if (!name.starts_with(found->prefix)) ++outside[name.substr(0, name.find('.'))];
  }
  for (const auto& [part, count] : outside) {
    result.checkpoint.ignored.push_back(
        {part, concat(count, count == 1 ? " tensor" : " tensors", " not below ", found->prefix)});
  }
  return result;
}

}  // namespace last
