#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/feature_store/manifest.h"

// Stores of realistic sizes, made as fast as the disk takes them.
namespace last::testing {

// 13 maps in fp16 of a ViT of 12 blocks with a cls token; one label column of four classes.
Manifest large_manifest(int64_t rows, int64_t tokens, int64_t dim);

// A few rows of finite values that a store is filled with again and again.
using Rows = std::vector<std::vector<char>>;
Rows repeated_rows(const Manifest& manifest);

void write_large_store(const std::string& path, const Manifest& manifest, const Rows& rows,
                       int threads);

}  // namespace last::testing
