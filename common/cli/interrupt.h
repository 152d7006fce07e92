#pragma once

#include <optional>
#include <string>

namespace last {

// Ctrl-C, SIGTERM and --time-limit ask the work to stop at the next safe place. A second signal
// kills the process at once.
void install_interrupt_handlers(std::optional<double> time_limit_seconds);

// Why the work should stop ("interrupted by Ctrl-C", "the time limit is over"), or nothing.
// Thread-safe and cheap.
std::optional<std::string> interrupt_reason();

// How to go on with work that keeps its state on disk.
inline constexpr char kHowToGoOn[] = "run the same command again to go on";

// Throws Interrupted("REASON; HOW_TO_GO_ON") where there is a reason.
void check_interrupt(const std::string& how_to_go_on);

}  // namespace last
