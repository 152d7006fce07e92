#include "common/cli/task_array.h"

#include <cstdlib>

#include "common/cli/parse.h"
#include "common/error.h"

namespace last {
namespace {

bool is_set(const char* variable) { return std::getenv(variable) != nullptr; }

int64_t integer_from(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) fail("the environment variable ", variable, " is missing");
  return parse_integer(variable, text);
}

TaskPart from_slurm() {
  const int64_t first = integer_from("SLURM_ARRAY_TASK_MIN");
  const int64_t last = integer_from("SLURM_ARRAY_TASK_MAX");
  const int64_t count = integer_from("SLURM_ARRAY_TASK_COUNT");
  if (last - first + 1 != count) {
    fail("the Slurm array from ", first, " to ", last, " has ", count,
         " tasks: stepped and sparse arrays have no parts to number; use --array=0-N");
  }
  return {integer_from("SLURM_ARRAY_TASK_ID") - first, count};
}

TaskPart from_environment(const std::string& option) {
  if (is_set("SLURM_ARRAY_TASK_ID")) return from_slurm();
  if (is_set("OMPI_COMM_WORLD_RANK")) {
    return {integer_from("OMPI_COMM_WORLD_RANK"), integer_from("OMPI_COMM_WORLD_SIZE")};
  }
  if (is_set("RANK")) return {integer_from("RANK"), integer_from("WORLD_SIZE")};
  fail(option, " auto: neither a Slurm array nor Open MPI nor torchrun started this process");
}

}  // namespace

TaskPart parse_task_part(const std::string& option, const std::string& text) {
  TaskPart part;
  if (text == "auto") {
    part = from_environment(option);
  } else {
    const auto slash = text.find('/');
    if (slash == std::string::npos || text.find_first_not_of("0123456789/-") != text.npos) {
      fail_usage(option, ": \"", text, "\" is neither I/N nor auto");
    }
    part = {parse_integer(option, text.substr(0, slash)),
            parse_integer(option, text.substr(slash + 1))};
  }
  if (part.count < 1 || part.count > 99999 || part.index < 0 || part.index >= part.count) {
    fail_usage(option, ": part ", part.index, " of ", part.count,
               " does not exist (parts count from 0)");
  }
  return part;
}

}  // namespace last
