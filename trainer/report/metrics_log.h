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
  // Opens or creates the file and cuts it to `bytes`; a shorter file is an Error.
  MetricsLog(const std::string& path, uint64_t bytes);

  // One line per network of the banks; `epoch` counts from 1. Synced when it returns.
  void append_epoch(const std::vector<Bank>& banks, int64_t epoch, int64_t epochs,
                    int64_t warmup_epochs);
  uint64_t bytes() const { return bytes_; }

 private:
  File file_;
  uint64_t bytes_;
};

}  // namespace last
