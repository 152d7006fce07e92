// Every tensor that is missing, renamed or of another shape, in the committed models of all
// families, is refused with one line that names it. What is no part of the features may be missing,
// and what nothing in a file shows has a note.

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "common/tensor_file/safetensors.h"
#include "common/tensor_file/safetensors_header.h"
#include "extractor/backbone/load.h"

namespace last {
namespace {

using Tensors = std::map<std::string, at::Tensor>;

struct Case {
  const char* name;
  const char* file;
  std::string prefix;                    // before all names
  std::vector<std::string> others = {};  // tensors beside the model
};

// Families are recognised by names alone: an .npz is as good as a .safetensors.
Tensors read(const Case& model) {
  const auto file = open_tensor_source(
      concat(LAST_SOURCE_DIR, "/tests/extractor/backbone/reference/", model.file));
  Tensors tensors;
  for (const std::string& name : file->names()) {
    tensors[model.prefix + name] = file->tensor(name).clone();
  }
  for (const std::string& name : model.others) tensors[name] = at::ones({2});
  return tensors;
}

struct Outcome {
  std::string error;  // empty: nothing is wrong
  std::vector<std::string> ignored;
  size_t notes = 0;
};

Outcome outcome_of(const Tensors& tensors) {
  const std::string path = concat(testing::TempDir(), "/last_defects.", ::getpid(), ".safetensors");
  write_safetensors(path, tensors, {});
  BackboneOptions options;
  options.weights = path;
  options.heads = 2;
  Outcome outcome;
  try {
    const nlohmann::json report = describe_backbone(options);
    for (const auto& entry : report["ignored"]) outcome.ignored.push_back(entry["name"]);
    outcome.notes = report["notes"].size();
  } catch (const Error& error) {
    outcome.error = error.what();
  }
  std::filesystem::remove(path);
  EXPECT_EQ(outcome.error.find('\n'), std::string::npos) << outcome.error;
  return outcome;
}

bool says(const std::string& message, const std::string& name) {
  return message.find(quoted_name(name)) != std::string::npos ||
         message.find(quoted_name(name + "[0]")) != std::string::npos;  // of a stack of blocks
}

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

class Defects : public testing::TestWithParam<Case> {
 protected:
  // Names of the model's own tensors.
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const auto& [name, tensor] : tensors_) {
      if (!has(GetParam().others, name)) result.push_back(name);
    }
    return result;
  }

  // Under another name, which an error has to show unless what begins like this is ignored.
  void expect_renaming_is_named(const std::string& name, const std::string& other) const {
    Tensors changed = tensors_;
    changed[other] = changed.at(name);
    changed.erase(name);
    const Outcome outcome = outcome_of(changed);
    EXPECT_TRUE(says(outcome.error, other) ||
                (outcome.error.empty() && has(outcome.ignored, other) && has(whole_.ignored, name)))
        << name << " -> " << other << ": " << outcome.error;
  }

  Tensors tensors_ = read(GetParam());
  Outcome whole_ = outcome_of(tensors_);
};

TEST_P(Defects, MissingTensorsAreNamed) {
  ASSERT_EQ(whole_.error, "");
  for (const std::string& name : names()) {
    Tensors rest = tensors_;
    rest.erase(name);
    const auto [error, ignored, notes] = outcome_of(rest);
    if (error.empty()) {
      EXPECT_TRUE(has(whole_.ignored, name) || notes > whole_.notes) << name << " is not missed";
    } else {
      EXPECT_TRUE(says(error, name) && error.find("is missing") != std::string::npos)
          << name << ": " << error;
    }
  }
}

TEST_P(Defects, RenamedTensorsAreNamed) {
  for (const std::string& name : names()) {
    expect_renaming_is_named(name, name + "s");
    std::string swapped = name;
    std::swap(swapped[swapped.size() - 2], swapped[swapped.size() - 3]);
    if (swapped != name) expect_renaming_is_named(name, swapped);
  }
}

TEST_P(Defects, ShapesAreNamed) {
  for (const std::string& name : names()) {
    // Those of the last block: other blocks and the patch embedding tell what to expect.
    if (name.find(".1.") == std::string::npos && name.find("_1.") == std::string::npos) continue;
    Tensors changed = tensors_;
    std::vector<int64_t> shape = changed.at(name).sizes().vec();
    ++shape.front();
    changed[name] = at::zeros(shape);
    const std::string error = outcome_of(changed).error;
    EXPECT_TRUE(says(error, name)) << name << ": " << error;
    if (std::string(GetParam().file).ends_with(".npz")) continue;  // the shape is PyTorch's
    EXPECT_NE(error.find(concat(at::IntArrayRef(shape))), std::string::npos) << error;
  }
}

const std::vector<std::string> kClipsText{"token_embedding.weight", "positional_embedding",
                                          "transformer.resblocks.0.ln_1.weight"};
const std::vector<std::string> kTransformersText{"text_model.embeddings.token_embedding.weight",
                                                 "text_model.encoder.layers.0.layer_norm1.bias"};

INSTANTIATE_TEST_SUITE_P(
    , Defects,
    testing::Values(Case{"registers", "registers.safetensors", ""},
                    Case{"distilled", "distilled.safetensors", ""},
                    Case{"dinov2_giant", "dinov2_giant.safetensors", ""},
                    Case{"eva02_clip", "eva02_clip.safetensors", ""},
                    Case{"dinov3", "dinov3.safetensors", ""},
                    Case{"open_clip", "open_clip.safetensors", ""},
                    Case{"torchvision", "torchvision.safetensors", ""},
                    Case{"transformers_vit", "transformers_vit.safetensors", ""},
                    Case{"transformers_dinov2", "transformers_dinov2.safetensors", ""},
                    Case{"transformers_clip", "transformers_clip.safetensors", ""},
                    Case{"transformers_siglip", "transformers_siglip.safetensors", ""},
                    Case{"transformers_dinov3", "transformers_dinov3.safetensors", ""},
                    Case{"google", "google.npz", ""}, Case{"big_vision", "big_vision.npz", ""},
                    Case{"wrapped_registers", "registers.safetensors", "model."},
                    Case{"wrapped_dinov3", "dinov3.safetensors", "teacher.backbone."},
                    Case{"wrapped_torchvision", "torchvision.safetensors", "module."},
                    Case{"wrapped_google", "google.npz", "opt/target/"},
                    Case{"wrapped_big_vision", "big_vision.npz", "params/img/", {"params/t"}},
                    Case{"whole_clip", "open_clip.safetensors", "visual.", kClipsText},
                    Case{"whole_transformers_clip", "transformers_clip.safetensors",
                         "vision_model.", kTransformersText}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace last
