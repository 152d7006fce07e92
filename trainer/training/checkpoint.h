#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "trainer/training/stage.h"

namespace last {

// A stage's state: parameters, moments and progress of all banks, the position, and what the caller
// adds. Written under a temporary name and renamed, so that a killed run finds the last whole one.
void save_checkpoint(const std::string& path, std::vector<Bank>& banks,
                     const StagePosition& position, const nlohmann::json& extra);

// The `run` among what save_checkpoint was given, empty where there is none. A damaged file is an
// Error.
std::string run_of_checkpoint(const std::string& path);

// Restores banks of the same settings, cut down to the networks that were under way (a search may
// have stopped others). Returns what save_checkpoint was given as position and
// extra, or nothing where there is no such file. A damaged or foreign file is an Error.
struct RestoredCheckpoint {
  StagePosition position;
  nlohmann::json extra;
};
std::optional<RestoredCheckpoint> load_checkpoint(const std::string& path,
                                                  std::vector<Bank>& banks);

}  // namespace last
