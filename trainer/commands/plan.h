#pragma once

#include <string>

#include "trainer/commands/run_data.h"
#include "trainer/commands/run_options.h"

namespace last {

// "1.2 GB of features held in memory, 300 MB of networks, .. (limit 8 GB)"
std::string describe_memory(const MemoryPlan& plan);

// Prints what a run would train and what it would cost (--dry-run): per bank the parameters, memory
// and the time of a step, measured on one real batch. joined: the search was trained in parts, and
// the plan's banks are what it may retrain.
void print_plan(const RunOptions& options, const RunData& data, const MemoryPlan& memory,
                bool joined, const ComputeOptions& compute);

}  // namespace last
