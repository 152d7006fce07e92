#pragma once

#include <cstdint>

#include "common/io/file.h"

namespace last {

// Gives the file its final size and its space on the disk, so that a full disk fails now and not
// after hours. Where the file system can't reserve, its free space is compared once. An Error names
// the missing bytes.
//
// Some file systems (tmpfs) spend as much on this as on writing: once per file.
void reserve_space(const File& file, uint64_t bytes);

// An Error names the missing bytes if that many can't be free now; nothing is reserved.
void require_space(const File& file, uint64_t bytes);

}  // namespace last
