#include "common/cli/interrupt.h"

#include <atomic>
#include <chrono>
#include <csignal>

#include "common/error.h"

namespace last {
namespace {

using Clock = std::chrono::steady_clock;

volatile std::sig_atomic_t received_signal = 0;
std::atomic<Clock::rep> deadline{0};  // 0: none

void on_signal(int signal) {
  received_signal = signal;
  std::signal(signal, SIG_DFL);
}

}  // namespace

void install_interrupt_handlers(std::optional<double> time_limit_seconds) {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  deadline = 0;
  if (time_limit_seconds) {
    const auto limit = std::chrono::duration<double>(*time_limit_seconds);
    deadline = (Clock::now() + std::chrono::duration_cast<Clock::duration>(limit))
                   .time_since_epoch()
                   .count();
  }
}

std::optional<std::string> interrupt_reason() {
  if (received_signal == SIGINT) return "interrupted by Ctrl-C";
  if (received_signal != 0) return "interrupted by SIGTERM";
  const auto end = deadline.load();
  if (end != 0 && Clock::now().time_since_epoch().count() >= end) return "the time limit is over";
  return std::nullopt;
}

void check_interrupt(const std::string& how_to_go_on) {
  if (const auto reason = interrupt_reason()) throw Interrupted(*reason + "; " + how_to_go_on);
}

}  // namespace last
