// tensor_file_tool SOURCE TARGET.safetensors: copies every tensor through reader and writer, for
// tests/interop/test_tensor_file.py.

#include <iostream>
#include <map>
#include <string>

#include "common/tensor_file/safetensors.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: tensor_file_tool SOURCE TARGET\n";
    return 2;
  }
  try {
    const auto source = last::open_tensor_source(argv[1]);
    std::map<std::string, at::Tensor> tensors;
    for (const std::string& name : source->names()) tensors[name] = source->tensor(name);
    last::write_safetensors(argv[2], tensors, source->metadata());
  } catch (const std::exception& error) {
    std::cerr << "tensor_file_tool: error: " << error.what() << "\n";
    return 1;
  }
}
