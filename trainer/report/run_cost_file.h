#pragma once

#include <cstdint>
#include <string>

namespace last {

// cost.json: what a run has cost in all its sessions (it may have been interrupted and resumed),
//   {"sessions", "seconds": wall time, "peak_memory_bytes": the largest resident set of a session,
//    "crc32c": of the three before it}.
// Its checksum is its own: it is written after those of the tables (run_checksums.h).
struct CostRecord {
  int64_t sessions = 0;
  double seconds = 0;
  int64_t peak_memory_bytes = 0;
};

void save_cost(const std::string& path, const CostRecord& cost);

// An Error where the file is damaged.
CostRecord load_cost(const std::string& path);

}  // namespace last
