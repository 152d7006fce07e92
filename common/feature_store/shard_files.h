#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/feature_store/manifest.h"

// Which files a store consists of, judged by their names alone.
namespace last {

struct ShardFile {
  std::string path;
  int64_t index = 0;
  int64_t count = 1;
  bool partial = false;  // ends in .partial
};

// Shards of X/N.h5 in its folder, finished and partial, in byte order of their names.
std::vector<ShardFile> find_shards(const std::string& path);

// X/N.00001-of-00004.h5 -> X/N.h5; any other path as it is.
std::string base_path(const std::string& path);

// The finished files behind X/N.h5: itself, or its complete set of shards. An Error says what is
// missing, unfinished, or there twice.
std::vector<std::string> resolve_store(const std::string& path);

// An Error where writing `path`, whose base is X/N.h5, would leave X/N.h5 and shards of it side by
// side, or shards of two counts.
void check_no_other_store(const std::string& path, int64_t shard_count);

}  // namespace last
