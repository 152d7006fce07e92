#pragma once

#include <string>

namespace last {

// Messages for people go to standard error; what was asked for goes to standard output.

// Shown in front of warnings and errors. Called once, by main.
void set_program_name(const std::string& name);
const std::string& program_name();

// --quiet: no information and no progress; warnings and errors remain.
void set_quiet(bool quiet);
bool is_quiet();

void log_info(const std::string& message);
// Shown even with --quiet: why the program ended early.
void log_notice(const std::string& message);
void log_warning(const std::string& message);
void log_error(const std::string& message);

}  // namespace last
