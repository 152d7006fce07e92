// Every tensor of a block that is missing, renamed or of another shape, in the committed models of
// all families, is refused with one line that names it.

#include <filesystem>
#include <map>
#include <string>
#include <unistd.h>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "common/tensor_file/safetensors.h"
#include "common/tensor_file/safetensors_header.h"
#include "extractor/backbone/load.h"

namespace last {
namespace {

using Tensors = std::map<std::string, at::Tensor>;

Tensors read(const std::string& model) {
  const SafetensorsFile file(
      concat(LAST_SOURCE_DIR, "/tests/extractor/backbone/reference/", model, ".safetensors"));
  Tensors tensors;
  for (const std::string& name : file.names()) tensors[name] = file.tensor(name).clone();
  return tensors;
}

// What is said of a file of these tensors; empty: nothing is wrong.
std::string error_of(const Tensors& tensors) {
  const std::string path = concat(testing::TempDir(), "/last_defects.", ::getpid(), ".safetensors");
  write_safetensors(path, tensors, {});
  BackboneOptions options;
  options.weights = path;
  options.heads = 2;
  std::string message;
  try {
    describe_backbone(options);
  } catch (const Error& error) {
    message = error.what();
  }
  std::filesystem::remove(path);
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  return message;
}

bool says(const std::string& message, const std::string& name) {
  return message.find(quoted_name(name)) != std::string::npos;
}

class Defects : public testing::TestWithParam<std::string> {
 protected:
  Tensors tensors_ = read(GetParam());

  // Those of the last block.
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const auto& [name, tensor] : tensors_) {
      for (const char* place : {".1.", "_1."}) {
        if (name.find(place) != std::string::npos) result.push_back(name);
      }
    }
    return result;
  }
};

TEST_P(Defects, MissingTensorsAreNamed) {
  ASSERT_EQ(error_of(tensors_), "");
  ASSERT_GE(names().size(), 12U);
  for (const std::string& name : names()) {
    Tensors rest = tensors_;
    rest.erase(name);
    const std::string error = error_of(rest);
    EXPECT_TRUE(says(error, name) && error.find("is missing") != std::string::npos)
        << name << ": " << error;
  }
}

TEST_P(Defects, RenamedTensorsAreNamed) {
  for (const std::string& name : names()) {
    Tensors changed = tensors_;
    const std::string other = name + "s";
    changed[other] = changed.at(name);
    changed.erase(name);
    const std::string error = error_of(changed);
    EXPECT_TRUE(says(error, other)) << name << ": " << error;
  }
}

TEST_P(Defects, ShapesAreNamed) {
  for (const std::string& name : names()) {
    Tensors changed = tensors_;
    std::vector<int64_t> shape = changed.at(name).sizes().vec();
    ++shape.front();
    changed[name] = at::zeros(shape);
    const std::string error = error_of(changed);
    EXPECT_TRUE(says(error, name)) << name << ": " << error;
    EXPECT_NE(error.find(concat(at::IntArrayRef(shape))), std::string::npos) << error;
  }
}

INSTANTIATE_TEST_SUITE_P(, Defects,
                         testing::Values("registers", "distilled", "dinov2_giant", "eva02_clip",
                                         "dinov3", "open_clip", "torchvision", "transformers_vit",
                                         "transformers_dinov2", "transformers_clip",
                                         "transformers_siglip", "transformers_dinov3"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace last
