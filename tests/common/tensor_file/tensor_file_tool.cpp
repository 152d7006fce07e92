// tensor_file_tool SOURCE TARGET.safetensors [SOURCE TARGET ..]: copies every tensor through reader
// and writer, for tests/interop/test_tensor_file.py. What fails is said in a line each, and the
// rest is copied.

#include <iostream>
#include <map>
#include <string>

#include "common/tensor_file/safetensors.h"

namespace {

void copy(const std::string& from, const std::string& to) {
  const auto source = last::open_tensor_source(from);
  std::map<std::string, at::Tensor> tensors;
  for (const std::string& name : source->names()) tensors[name] = source->tensor(name);
  last::write_safetensors(to, tensors, source->metadata());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc % 2 == 0) {
    std::cerr << "usage: tensor_file_tool SOURCE TARGET [SOURCE TARGET ..]\n";
    return 2;
  }
  int status = 0;
  for (int i = 1; i < argc; i += 2) {
    try {
      copy(argv[i], argv[i + 1]);
    } catch (const std::exception& error) {
      std::cerr << "tensor_file_tool: error: " << error.what() << "\n";
      status = 1;
    }
  }
  return status;
}
