// Input: a .safetensors file. What is accepted is read whole, and survives being written again.

#include "common/tensor_file/safetensors.h"

#include <map>

#include <ATen/core/Tensor.h>

#include "common/io/file.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace last;
  static const fuzz::Folder folder;
  write_file_atomically(folder / "a.safetensors", std::string(fuzz::text_of(data, size)));
  fuzz::expect_result_or_error([&] {
    const SafetensorsFile file(folder / "a.safetensors");
    std::map<std::string, at::Tensor> tensors;
    for (const std::string& name : file.names()) tensors[name] = file.tensor(name);
    write_safetensors(folder / "b.safetensors", tensors, file.metadata());
    const SafetensorsFile copy(folder / "b.safetensors");
    if (copy.names() != file.names()) __builtin_trap();
    for (const auto& [name, tensor] : tensors) {
      if (copy.shape(name) != file.shape(name)) __builtin_trap();
    }
  });
  return 0;
}
