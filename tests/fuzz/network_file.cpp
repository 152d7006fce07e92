// Input: the JSON text that a network file or a bundle of two carries in its metadata, put beside
// tensors that fit the seeds. The container itself is what target safetensors is for.

#include <map>

#include <ATen/ops/zeros.h>

#include "common/last/bundle.h"
#include "common/tensor_file/safetensors.h"
#include "tests/fuzz/fuzz.h"

namespace {

using last::concat;

// depth 1, dim 8, rank 2, 3 classes, with biases and the final norm; make_seeds.py describes it.
void add_network(std::map<std::string, at::Tensor>& tensors, const std::string& prefix) {
  const auto zeros = [](std::initializer_list<int64_t> shape) {
    return at::zeros(at::IntArrayRef(shape), at::kFloat);
  };
  const std::string module = prefix + "blocks.0.modules.0.";
  tensors[module + "norm.weight"] = zeros({8});
  tensors[module + "norm.bias"] = zeros({8});
  for (const char* projection : {"query", "key", "value"}) {
    tensors[concat(module, projection, ".weight")] = zeros({2, 8});
    tensors[concat(module, projection, ".bias")] = zeros({2});
  }
  tensors[module + "up.weight"] = zeros({8, 2});
  tensors[module + "up.bias"] = zeros({8});
  tensors[prefix + "norm.weight"] = zeros({8});
  tensors[prefix + "norm.bias"] = zeros({8});
  tensors[prefix + "head.weight"] = zeros({3, 8});
  tensors[prefix + "head.bias"] = zeros({3});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace last;
  static const fuzz::Folder folder;
  static const auto tensors_of = [] {
    std::map<std::string, std::map<std::string, at::Tensor>> all;
    add_network(all["last-network-1"], "");
    add_network(all["last-ensemble-1"], "networks.0.");
    add_network(all["last-ensemble-1"], "networks.1.");
    return all;
  }();
  const std::string path = folder / "network.safetensors";
  const std::string text(fuzz::text_of(data, size));
  for (const auto& [format, tensors] : tensors_of) {
    try {
      write_safetensors(path, tensors, {{"format", format}, {"last", text}});
    } catch (const nlohmann::json::exception&) {
      return 0;  // not UTF-8, which no header can hold
    }
    fuzz::expect_result_or_error([&] {
      const Bundle bundle = load_bundle(path);
      for (const NetworkFile& network : bundle.members) {
        check_network_config(network.config, network.backbone);
      }
      save_bundle(path, bundle);
    });
  }
  return 0;
}
