#pragma once

#include <vector>

#include "trainer/commands/run_data.h"
#include "trainer/commands/run_options.h"

namespace last {

// Prints what a run would train and what it would cost (--dry-run): per bank the parameters, memory
// and the time of a step, measured on one real batch.
void print_plan(const RunOptions& options, const RunData& data, const std::vector<Setting>& grid,
                const ComputeOptions& compute);

}  // namespace last
