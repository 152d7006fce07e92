#include "common/cli/progress.h"

#include <array>
#include <cstdio>
#include <utility>

#include "common/cli/live_block.h"
#include "common/cli/log.h"
#include "common/cli/parse.h"
#include "common/error.h"

namespace last {
namespace {

using Clock = std::chrono::steady_clock;

std::string format_rate(double rate) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), rate < 10 ? "%.2f" : "%.0f", rate);
  return text.data();
}

}  // namespace

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Progress::Progress(std::string label, std::string unit, int64_t total, int64_t already_done)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      already_done_(already_done),
      done_(already_done),
      terminal_(is_live_terminal()),
      start_(Clock::now()),
      shown_(start_) {}

std::string Progress::line(int64_t done, const std::string& note) const {
  const double elapsed = seconds_since(start_);
  const double rate = elapsed > 0 ? static_cast<double>(done - already_done_) / elapsed : 0;
  std::string text = concat(label_, " ", done, "/", total_, " ", unit_);
  if (rate > 0) {
    text += concat(", ", format_rate(rate), " ", unit_, "/s");
    if (done < total_) {
      text += ", " + format_duration(static_cast<double>(total_ - done) / rate) + " left";
    } else {
      text += ", " + format_duration(elapsed);
    }
  }
  return note.empty() ? text : text + ", " + note;
}

void Progress::show(const std::string& text, bool last) {
  shown_ = Clock::now();
  if (terminal_) {
    draw_live_block({text});
    if (last) keep_live_block();
  } else {
    std::fputs((text + "\n").c_str(), stderr);
  }
}

void Progress::update(int64_t done, const std::string& note) {
  done_ = done;
  const double period = terminal_ ? 0.1 : 5;
  if (!is_quiet() && seconds_since(shown_) >= period) show(line(done, note), false);
}

void Progress::finish(const std::string& note) {
  if (!is_quiet()) show(line(done_, note), true);
}

}  // namespace last
