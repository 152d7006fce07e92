#include "extractor/backbone/recognise.h"

#include <map>
#include <optional>
#include <utility>

#include "common/error.h"
#include "common/tensor_file/safetensors_header.h"

namespace last {
namespace {

// In the order in which they are preferred where a file has several.
constexpr const char* kWrappers[] = {"model.",      "state_dict.",
                                     "module.",     "model_ema.",
                                     "teacher.",    "backbone.",
                                     "encoder.",    "visual.",
                                     "trunk.",      "vit.",
                                     "deit.",       "vision_model.",
                                     "dinov2.",     "dinov2_with_registers.",
                                     "opt/target/", "params/",
                                     "img/"};
constexpr int kMaxWrappers = 4;

// Names that tell what a file holds instead of a ViT.
constexpr std::pair<const char*, const char*> kOthers[] = {
    {"conv_root/kernel", "a ViT on top of a ResNet, not a plain ViT"},
    {"relative_position_bias_table",
     "a model with relative positions (Swin, BEiT), not a plain ViT"},
    {"layer1.0.conv1.weight", "a ResNet, not a ViT"},
    {"stages.0.blocks.0.", "a convolutional network, not a ViT"},
    {"features.0.", "a convolutional network, not a ViT"},
    {"lora_A.", "a LoRA adapter; the model that it belongs to has to be merged with it first"},
    {"text_model.", "the text model of CLIP or SigLIP; the vision model is needed"},
    {"token_embedding.weight", "the text model of CLIP; the vision model is needed"},
    {"word_embeddings.weight", "a language model, not a ViT"},
};

struct Found {
  const Family* family;
  std::string prefix;
  StateDict tensors;
};

// The family that lacks only one of its marks, with the name that may be meant.
struct Guess {
  const Family* family = nullptr;
  std::string prefix;
  std::string missing;  // with prefix
  std::string nearest;  // in the file; may be empty
  size_t found = 0;     // marks of the family that are there
  // What the family has besides its marks is there too: no family without such evidence is meant.
  bool is_certain = false;
};

// Keeps the guess of which most is there, and of those the first with a name that may be meant.
void consider(const Family& family, const StateDict& tensors, const std::string& prefix,
              Guess& guess) {
  if (family.applies != nullptr && !family.applies(tensors)) return;
  std::vector<std::string> missing;
  for (const std::string& mark : family.marks) {
    if (tensors.count(mark) == 0) missing.push_back(mark);
  }
  if (missing.size() != 1) return;
  const size_t found = family.marks.size() - 1 + (family.applies != nullptr ? 1 : 0);
  std::vector<std::string> names;
  for (const auto& [name, entry] : tensors) {
    if (!is_canonical_name(name)) names.push_back(name);
  }
  const std::string nearest = nearest_name(missing.front(), names);
  const bool better =
      found > guess.found || (found == guess.found && guess.nearest.empty() && !nearest.empty());
  if (found == 0 || !better) return;
  guess = {&family,
           prefix,
           prefix + missing.front(),
           nearest.empty() ? nearest : tensors.at(nearest).origin,
           found,
           false};
}

std::optional<Found> find_family(const StateDict& tensors, const std::string& wanted,
                                 const std::string& prefix, int depth, Guess& guess) {
  for (const Family& family : families()) {
    if (wanted != "auto" && wanted != family.name) continue;
    if (family.recognises(tensors)) {
      guess.is_certain = family.applies == nullptr && guess.family != nullptr &&
                         guess.family->applies != nullptr && guess.prefix == prefix;
      if (guess.is_certain) return std::nullopt;
      return Found{&family, prefix, tensors};
    }
    consider(family, tensors, prefix, guess);
  }
  if (depth == kMaxWrappers) return std::nullopt;
  for (const char* wrapper : kWrappers) {
    const StateDict inside = below_prefix(tensors, wrapper);
    if (inside.empty()) continue;
    auto found = find_family(inside, wanted, prefix + wrapper, depth + 1, guess);
    if (found || guess.is_certain) return found;
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

[[noreturn]] void refuse(const StateDict& tensors, const std::string& family,
                         const std::string& path, const Guess& guess) {
  for (const auto& [mark, what] : kOthers) {
    for (const auto& [name, entry] : tensors) {
      if (name.find(mark) == std::string::npos) continue;
      // The text model beside a vision model that lacks one tensor.
      if (guess.family != nullptr && !name.starts_with(guess.prefix)) continue;
      fail("\"", path, "\" holds ", what, " (tensor ", quoted_name(name), ")");
    }
  }
  const std::string what =
      concat("\"", path, "\" is no checkpoint of a ViT ",
             family == "auto" ? "that this program knows" : "of family " + family);
  if (guess.family != nullptr) {
    fail(what, ": for family ", guess.family->name, " the tensor ", quoted_name(guess.missing),
         " is missing",
         guess.nearest.empty() ? "" : "; the nearest name is " + quoted_name(guess.nearest));
  }
  fail(what, " (known families: ", known_families(), "); its tensors: ", first_names(tensors));
}

}  // namespace

RecognisedCheckpoint recognise_checkpoint(const StateDict& tensors, const std::string& family,
                                          const std::string& path) {
  Guess guess;
  auto found = find_family(tensors, family, "", 0, guess);
  if (!found) refuse(tensors, family, path, guess);
  RecognisedCheckpoint result;
  result.family = found->family->description;
  result.prefix = found->prefix;
  const auto file_name = [family = found->family, prefix = found->prefix,
                          file = found->tensors](const std::string& name) {
    return prefix + family->file_name(file, name);
  };
  try {
    result.checkpoint = found->family->convert(found->tensors);
    result.checkpoint.file_name = file_name;
  } catch (const MissingTensor& error) {
    error.fail_as(concat("\"", path, "\": "), file_name);
  } catch (const Error& error) {
    fail("\"", path, "\": ", error.what());
  }
  if (found->family->look_around != nullptr) {
    found->family->look_around(tensors, result.checkpoint.hints);
  }
  // A text model beside the vision model has hundreds: one line for each first part of the names.
  std::map<std::string, int> outside;
  for (const auto& [name, entry] : tensors) {
    if (!name.starts_with(found->prefix)) ++outside[name.substr(0, name.find_first_of("./"))];
  }
  for (const auto& [part, count] : outside) {
    result.checkpoint.ignored.push_back(
        {part, concat(count, count == 1 ? " tensor" : " tensors", " not below ", found->prefix)});
  }
  return result;
}

}  // namespace last
