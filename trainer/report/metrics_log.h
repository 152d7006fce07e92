#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/io/file.h"
#include "trainer/training/bank.h"

namespace last {

// metrics.jsonl: a line per network and epoch, appended. A resumed run cuts the file back to the
// length that its checkpoint remembers, so that no epoch stands in it twice.
class MetricsLog {
 public:
  // How far the file is known to be right.
  struct Position {
    uint64_t bytes = 0;
    uint32_t crc32c = 0;  // of these bytes
  };

  // Opens or creates the file and cuts it to `start`; a shorter file, or one with other bytes up to
  // there, is an Error.
  MetricsLog(const std::string& path, const Position& start);
  // The same Errors; the file is left as it is. `counted_by`: what says so; remedy: what to do.
  static void check(const std::string& path, const Position& start, const std::string& counted_by,
                    const std::string& remedy);
  // The same for a stage's checkpoint.
  static void check(const std::string& path, const Position& start);

  // One line per network of the banks; `epoch` counts from 1. Synced when it returns.
  void append_epoch(const std::vector<Bank>& banks, int64_t epoch, int64_t epochs,
                    int64_t warmup_epochs);
  const Position& position() const { return position_; }

 private:
  File file_;
  Position position_;
};

}  // namespace last
