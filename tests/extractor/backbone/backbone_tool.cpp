// backbone_tool WEIGHTS INPUT.safetensors OUTPUT.safetensors [name=value ..]: runs "images" of
// INPUT through a checkpoint and writes "maps" of every layer, "norm_weight" and "norm_bias" for
// tests/interop/test_backbone.py. Names are those of the extractor's options; the report goes to
// standard output. Without arguments every line of standard input is a JSON list of them, answered
// by a line {"status": .., "stdout": .., "stderr": ..}: hundreds of tests start the program once.

#include <chrono>
#include <iostream>
#include <numeric>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/tensor_file/safetensors.h"
#include "extractor/backbone/load.h"

namespace last {
namespace {

c10::ScalarType parse_precision(const std::string& name) {
  if (name == "bf16") return c10::ScalarType::BFloat16;
  return name == "fp16" ? c10::ScalarType::Half : c10::ScalarType::Float;
}

struct ToolOptions {
  BackboneOptions backbone;
  c10::ScalarType precision = c10::ScalarType::Float;
  int repeat = 0;  // timed forward passes after the first
};

ToolOptions parse(const std::vector<std::string>& arguments) {
  ToolOptions options;
  options.backbone.weights = arguments.at(0);
  for (size_t i = 3; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    const std::string name = argument.substr(0, argument.find('='));
    const std::string value = argument.substr(name.size() + 1);
    if (name == "heads") options.backbone.heads = std::stoll(value);
    if (name == "model") options.backbone.model = value;
    if (name == "activation") options.backbone.activation = value;
    if (name == "norm-eps") options.backbone.norm_eps = std::stod(value);
    if (name == "patch-size") options.backbone.patch_size = value;
    if (name == "pos-embed") options.backbone.pos_embed = value;
    if (name == "precision") options.precision = parse_precision(value);
    if (name == "repeat") options.repeat = std::stoi(value);
  }
  return options;
}

void run(const std::vector<std::string>& arguments, std::ostream& out) {
  ToolOptions options = parse(arguments);
  const at::Tensor images = SafetensorsFile(arguments.at(1)).tensor("images");
  options.backbone.image_height = images.size(2);
  options.backbone.image_width = images.size(3);
  const Backbone backbone =
      load_backbone(options.backbone, c10::Device(c10::kCPU), options.precision);
  std::vector<int64_t> layers(static_cast<size_t>(backbone.vit.config().depth + 1));
  std::iota(layers.begin(), layers.end(), int64_t{0});
  const at::Tensor maps = backbone.vit.maps(images, layers);
  using Clock = std::chrono::steady_clock;
  for (int i = 0; i < options.repeat; ++i) {
    const auto start = Clock::now();
    backbone.vit.maps(images, layers, c10::ScalarType::Half);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    std::cerr << static_cast<double>(images.size(0)) / seconds << " images/s\n";
  }
  const BackboneInfo info = backbone.info(layers);
  write_safetensors(
      arguments.at(2),
      {{"maps", maps}, {"norm_weight", info.norm_weight}, {"norm_bias", info.norm_bias}});
  out << backbone.report.to_json().dump(1) << "\n";
}

// The exit status.
int try_run(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err) {
  try {
    run(arguments, out);
    return 0;
  } catch (const std::exception& error) {
    err << "backbone_tool: error: " << error.what() << "\n";
    return 1;
  }
}

void answer_lines() {
  for (std::string line; std::getline(std::cin, line);) {
    std::ostringstream out, err;
    const int status = try_run(nlohmann::json::parse(line), out, err);
    const nlohmann::json answer = {
        {"status", status}, {"stdout", out.str()}, {"stderr", err.str()}};
    std::cout << answer.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) << std::endl;
  }
}

}  // namespace
}  // namespace last

int main(int argc, char** argv) {
  if (argc == 1) {
    last::answer_lines();
    return 0;
  }
  if (argc < 4) {
    std::cerr << "usage: backbone_tool [WEIGHTS INPUT OUTPUT [name=value ..]]\n";
    return 2;
  }
  return last::try_run({argv + 1, argv + argc}, std::cout, std::cerr);
}
