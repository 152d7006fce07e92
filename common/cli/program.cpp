#include "common/cli/program.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <iostream>
#include <new>
#include <unistd.h>

#include <c10/util/Exception.h>

#include "common/cli/log.h"
#include "common/cli/parse.h"
#include "common/cli/version.h"
#include "common/error.h"

namespace last {
namespace {

void print_help(const std::string& name, const std::string& summary,
                const std::vector<Command>& commands) {
  std::cout << name << " - " << summary << "\n\nCommands:\n";
  for (const auto& command : commands) {
    std::cout << "  " << command.name << std::string(12 - command.name.size(), ' ')
              << command.summary << "\n";
  }
  std::cout << "\n`" << name << " COMMAND --help` shows a command's options. `" << name
            << " --version` shows the version.\n"
            << "Exit status: 0 done, 1 error, 2 usage, "
            << (name == "extractor" ? "3 too many bad images, " : "")
            << "4 interrupted (resumable).\n";
}

int dispatch(const std::string& name, const std::string& summary,
             const std::vector<Command>& commands, const std::vector<std::string>& arguments) {
  if (arguments.empty()) fail_usage("no command given; see ", name, " --help");
  const std::string& first = arguments.front();
  if (first == "--help" || first == "-h" || first == "help") {
    print_help(name, summary, commands);
    return kExitDone;
  }
  if (first == "--version") {
    std::cout << name << " " << kVersion << "\n";
    return kExitDone;
  }
  std::vector<std::string> names;
  for (const auto& command : commands) {
    if (command.name == first) return command.run({arguments.begin() + 1, arguments.end()});
    names.push_back(command.name);
  }
  const std::string guess = nearest(first, names);
  fail_usage("unknown command \"", first, "\"",
             guess.empty() ? "" : " (did you mean " + guess + "?)", "; see ", name, " --help");
}

// A file that is opened takes the first free number: where standard error is closed, messages would
// go into a store. (Writing to what takes their place fails, as it would without it.)
void open_standard_descriptors() {
  int descriptor = ::open("/dev/null", O_RDONLY);
  while (descriptor >= 0 && descriptor <= STDERR_FILENO) descriptor = ::dup(descriptor);
  if (descriptor > STDERR_FILENO) ::close(descriptor);
}

}  // namespace

int run_program(const std::string& name, const std::string& summary,
                const std::vector<Command>& commands, int argc, char** argv) {
  set_program_name(name);
  open_standard_descriptors();
  // A write beyond a limit of the file size (ulimit -f) is an error that names the file, as every
  // other failed write, not the end of the process.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    const int status = dispatch(name, summary, commands, {argv + 1, argv + argc});
    // A full disk or a closed pipe shows here at the latest; what was asked for is missing then.
    std::cout.flush();
    if (!std::cout) fail("can't write to standard output");
    return status;
  } catch (const UsageError& error) {
    log_error(error.what());
    return kExitUsage;
  } catch (const Interrupted& error) {
    log_notice(error.what());
    return kExitInterrupted;
  } catch (const c10::Error& error) {
    log_error(error.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    log_error("out of memory");
  } catch (const std::exception& error) {
    log_error(error.what());
  }
  return kExitError;
}

void end_program(int status) {
#ifdef LAST_SANITIZED
  std::exit(status);
#else
  std::cout.flush();
  std::fflush(nullptr);
  std::_Exit(status);
#endif
}

}  // namespace last
