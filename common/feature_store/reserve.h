#pragma once

#include <cstdint>

#include "common/io/file.h"

namespace last {

// Gives the file its final size and its space on the disk, so that a full disk fails now and not
// after hours. Where the file system can't reserve, its free space is compared once. An Error names
// the missing bytes.
void reserve_space(const File& file, uint64_t bytes);

}  // namespace last
