#pragma once

#include <nlohmann/json.hpp>

#include "trainer/training/bank.h"

namespace last {

// A network's progress in a checkpoint; numbers come back as they were.
nlohmann::json to_json(const NetworkProgress& progress);
NetworkProgress progress_from_json(const nlohmann::json& json);

}  // namespace last
