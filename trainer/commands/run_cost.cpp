#include "trainer/commands/run_cost.h"

#include <algorithm>
#include <filesystem>
#include <sys/resource.h>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/cli/log.h"
#include "common/cli/progress.h"
#include "common/io/file.h"
#include "common/io/json_integer.h"

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
  nlohmann::json cost = {{"sessions", 0}, {"seconds", 0.0}, {"peak_memory_bytes", 0}};
  if (std::filesystem::exists(path_)) cost = nlohmann::json::parse(read_text_file(path_));
  cost["sessions"] = json_integer(cost.at("sessions")) + 1;
  cost["seconds"] = cost.at("seconds").get<double>() + seconds_since(start_);
  cost["peak_memory_bytes"] =
      std::max(json_integer(cost.at("peak_memory_bytes")), peak_memory_bytes());
  write_file_atomically(path_, cost.dump(2) + "\n");
}

}  // namespace last
