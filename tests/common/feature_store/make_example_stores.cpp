#include <iostream>

#include "common/error.h"
#include "tests/common/feature_store/example_store.h"

// make_example_stores DIR: writes fp16.h5, bf16.h5 and fp32.h5, of 11 rows each.
int main(int argc, char** argv) {
  using namespace last;
  if (argc != 2) {
    std::cerr << "usage: make_example_stores DIR\n";
    return 2;
  }
  const std::string folder = std::string(argv[1]) + "/";
  try {
    for (const char* name : {"fp16", "bf16", "fp32"}) {
      testing::write_example_store(folder + name + ".h5",
                                   testing::example_manifest(11, parse_dtype(name, "test")));
    }
  } catch (const Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
