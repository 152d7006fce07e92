#pragma once

#include <cstdint>
#include <string>

namespace last {

// One of `count` equal parts of a job, from 0.
struct TaskPart {
  int64_t index = 0;
  int64_t count = 1;
};

// "I/N", or "auto": from a Slurm array (its minimum counts as 0; stepped and sparse arrays are
// refused), Open MPI or torchrun, whichever variables are set. `option` names it in errors.
TaskPart parse_task_part(const std::string& option, const std::string& text);

}  // namespace last
