#include "common/cli/log.h"

#include <atomic>
#include <cstdio>

#include "common/cli/live_block.h"

namespace last {
namespace {

std::string& name() {
  static std::string text = "last";
  return text;
}

std::atomic<bool> quiet_mode{false};

void print(const std::string& line) {
  // On a terminal progress may stand where the message goes.
  std::fputs((take_live_block() + line + "\n").c_str(), stderr);
}

}  // namespace

void set_program_name(const std::string& program) { name() = program; }
const std::string& program_name() { return name(); }

void set_quiet(bool quiet) { quiet_mode = quiet; }
bool is_quiet() { return quiet_mode; }

void log_info(const std::string& message) {
  if (!is_quiet()) print(message);
}
void log_notice(const std::string& message) { print(name() + ": " + message); }
void log_warning(const std::string& message) { print(name() + ": warning: " + message); }
void log_error(const std::string& message) { print(name() + ": error: " + message); }

}  // namespace last
