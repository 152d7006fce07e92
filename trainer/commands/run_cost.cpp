#include "trainer/commands/run_cost.h"

#include <algorithm>
#include <filesystem>
#include <sys/resource.h>
#include <utility>

#include "common/cli/log.h"
#include "common/cli/progress.h"
#include "trainer/report/run_cost_file.h"

namespace last {
namespace {

int64_t peak_memory_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return int64_t{1024} * usage.ru_maxrss;
}

}  // namespace

RunCost::RunCost(std::string path)
    : path_(std::move(path)), start_(std::chrono::steady_clock::now()) {}

RunCost::~RunCost() {
  try {
    save();
  } catch (const std::exception& error) {
    log_warning(std::string("the cost of this run is not recorded: ") + error.what());
  }
}

void RunCost::save() const {
  CostRecord cost;
  if (std::filesystem::exists(path_)) cost = load_cost(path_);
  ++cost.sessions;
  cost.seconds += seconds_since(start_);
  cost.peak_memory_bytes = std::max(cost.peak_memory_bytes, peak_memory_bytes());
  save_cost(path_, cost);
}

}  // namespace last
