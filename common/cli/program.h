#pragma once

#include <functional>
#include <string>
#include <vector>

namespace last {

// Exit statuses of both programs.
enum ExitStatus {
  kExitDone = 0,
  kExitError = 1,
  kExitUsage = 2,
  kExitBadImages = 3,
  kExitInterrupted = 4,
};

struct Command {
  std::string name;
  std::string summary;
  std::function<int(const std::vector<std::string>& arguments)> run;
};

// Picks the command that argv[1] names and runs it; prints --help and --version; turns exceptions
// into `NAME: error: ...` on standard error and an exit status.
int run_program(const std::string& name, const std::string& summary,
                const std::vector<Command>& commands, int argc, char** argv);

// Ends the process. Nothing waits to be written by then, so what libtorch would take down piece by
// piece, which is a third of a short command's time, is left to the system. (Sanitizers still look
// for leaks.)
[[noreturn]] void end_program(int status);

}  // namespace last
