#include <iostream>
#include <string>

#include "common/error.h"
#include "tests/common/feature_store/large_store.h"

// make_large_store FILE.h5 MEGABYTES: a store of that size, of maps of a ViT-Ti/16 (1 MB per row).
int main(int argc, char** argv) {
  using namespace last;
  if (argc != 3) {
    std::cerr << "usage: make_large_store FILE.h5 MEGABYTES\n";
    return 2;
  }
  try {
    constexpr int64_t kTokens = 197, kDim = 192;
    const int64_t rows = std::stoll(argv[2]) * 1'000'000 / (13 * kTokens * kDim * 2) + 1;
    const Manifest manifest = testing::large_manifest(rows, kTokens, kDim);
    testing::write_large_store(argv[1], manifest, testing::repeated_rows(manifest), 2);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
