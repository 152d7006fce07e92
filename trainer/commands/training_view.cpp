#include "trainer/commands/training_view.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "common/cli/live_block.h"
#include "common/cli/log.h"
#include "common/cli/parse.h"
#include "common/cli/progress.h"
#include "common/error.h"
#include "trainer/report/number_text.h"
#include "trainer/report/summary.h"
#include "trainer/training/candidates.h"

namespace last {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kSecondsBetweenFrames = 0.2;  // on a terminal
constexpr double kSecondsBetweenLines = 5;     // elsewhere
constexpr double kSecondsOfRate = 20;          // the rate is that of the last so many seconds
constexpr size_t kTargetsInLine = 3;

int64_t count_networks(const std::vector<Bank>& banks) {
  int64_t count = 0;
  for (const auto& bank : banks) count += bank.networks();
  return count;
}

std::string bar(double part) {
  constexpr int kWidth = 24;
  const int full = static_cast<int>(part * kWidth);
  return "[" + std::string(static_cast<size_t>(full), '#') +
         std::string(static_cast<size_t>(kWidth - full), '-') + "]";
}

std::string rate_text(double rate) { return fixed(rate, rate < 10 ? 2 : 0); }

}  // namespace

TrainingView::TrainingView(std::string stage, const std::vector<Bank>& banks, const RunData& data,
                           int64_t steps, int64_t epochs, const Stopper& stopper,
                           const StagePosition& start)
    : stage_(std::move(stage)),
      banks_(banks),
      data_(data),
      steps_per_epoch_(steps),
      epochs_(epochs),
      rungs_(stopper.rungs()),
      position_(start),
      started_at_(start),
      all_networks_(count_networks(banks) + static_cast<int64_t>(stopper.stopped().size())),
      best_(data.targets.size()),
      terminal_(is_live_terminal()),
      start_(Clock::now()),
      shown_(start_) {
  find_best();
  note_rate();
}

int64_t TrainingView::steps(const StagePosition& position) const {
  return position.epoch * steps_per_epoch_ + position.batch;
}

double TrainingView::work(int64_t steps) const {
  return halving_work(rungs_, static_cast<double>(steps) / static_cast<double>(steps_per_epoch_));
}

void TrainingView::find_best() {
  const auto choices = best_so_far(banks_, data_.targets, data_.backbone);
  for (size_t t = 0; t < choices.size(); ++t) {
    const auto& choice = choices[t];
    if (!choice) continue;  // not every epoch is validated: the last best stands
    const auto seeds = choice->members.size();
    best_[t] = {concat("val ", fixed(choice->mean_val_accuracy, 2), " %"),
                concat("network ", choice->setting.index, ": ", describe(choice->setting),
                       seeds > 1 ? concat(", mean of ", seeds, " seeds") : "")};
  }
}

void TrainingView::note_rate() {
  const auto now = Clock::now();
  recent_.emplace_back(now, steps(position_));
  const auto old = [&](const auto& sample) {
    return std::chrono::duration<double>(now - sample.first).count() > kSecondsOfRate;
  };
  while (recent_.size() > 2 && old(recent_[1])) recent_.pop_front();
}

std::optional<TrainingView::Rate> TrainingView::rate() const {
  const auto& [time, done] = recent_.front();
  const double elapsed = seconds_since(time);
  const auto steps_now = static_cast<double>(steps(position_) - done);
  if (elapsed <= 0 || steps_now <= 0) return std::nullopt;
  const double work_now = work(steps(position_));
  const double work_left = work(epochs_ * steps_per_epoch_) - work_now;
  return Rate{steps_now / elapsed, elapsed * work_left / (work_now - work(done))};
}

std::string TrainingView::networks() const {
  int64_t diverged = 0;
  int64_t training = 0;
  for (const auto& bank : banks_) {
    for (const auto& network : bank.progress()) {
      diverged += network.status == NetworkStatus::kDiverged ? 1 : 0;
      training += network.status == NetworkStatus::kOk ? 1 : 0;
    }
  }
  std::string text = concat(training, " of ", all_networks_, " networks");
  if (diverged > 0) text += concat(", ", diverged, " diverged");
  const int64_t stopped = all_networks_ - training - diverged;
  if (stopped > 0) text += concat(", ", stopped, " stopped");
  return text;
}

std::string TrainingView::speed() const {
  const auto now = rate();
  if (!now) return "";
  return concat(rate_text(now->steps_per_second), " steps/s, ", format_duration(now->seconds_left),
                " left");
}

std::vector<std::string> TrainingView::block() const {
  const double part = static_cast<double>(steps(position_)) /
                      static_cast<double>(std::max<int64_t>(1, epochs_ * steps_per_epoch_));
  const int64_t epoch = std::min(position_.epoch + 1, epochs_);
  std::string head = concat(stage_, "  ", bar(part), " epoch ", epoch, " of ", epochs_);
  if (validating_ > 0) head += concat(", validating, ", validating_, " images");
  const std::string now = speed();
  std::vector<std::string> lines = {head, "  " + networks() + (now.empty() ? "" : ", " + now)};
  size_t width = 0;
  const auto targets = data_.target_names();
  for (const auto& target : targets) width = std::max(width, target.size());
  for (size_t t = 0; t < targets.size(); ++t) {
    const std::string name = "  " + targets[t] + std::string(width - targets[t].size(), ' ');
    if (!best_[t].value.empty()) {
      lines.push_back(name + "  best " + best_[t].value + "  " + best_[t].setting);
    }
  }
  return lines;
}

std::string TrainingView::one_line() const {
  const int64_t epoch = std::min(position_.epoch + 1, epochs_);
  std::string text = concat(stage_, ": epoch ", epoch, " of ", epochs_, ", ", networks());
  const std::string now = speed();
  if (!now.empty()) text += ", " + now;
  size_t shown = 0;
  for (size_t t = 0; t < best_.size(); ++t) {
    if (best_[t].value.empty()) continue;
    if (++shown > kTargetsInLine) return text + ", ..";
    text += ", " + data_.targets[t].name + " best " + best_[t].value;
  }
  return text;
}

void TrainingView::show() {
  if (is_quiet()) return;
  if (seconds_since(shown_) < (terminal_ ? kSecondsBetweenFrames : kSecondsBetweenLines)) return;
  shown_ = Clock::now();
  if (terminal_) {
    draw_live_block(block());
  } else {
    std::fputs((one_line() + "\n").c_str(), stderr);
  }
}

void TrainingView::on_step(const StagePosition& position) {
  position_ = position;
  validating_ = 0;
  if (seconds_since(recent_.back().first) >= 1) note_rate();
  show();
}

void TrainingView::on_epoch() { find_best(); }

void TrainingView::on_validation(int64_t images) {
  validating_ = images;
  show();
}

void TrainingView::finish() {
  if (is_quiet()) return;
  if (terminal_) erase_live_block();
  const double elapsed = seconds_since(start_);
  const auto done = static_cast<double>(steps(position_) - steps(started_at_));
  const int64_t first = started_at_.epoch;
  log_info(concat(stage_, ": ", first > 0 ? concat("epochs ", first + 1, " to ") : "",
                  position_.epoch, first > 0 ? " in " : " epochs in ", format_duration(elapsed),
                  ", ", networks(), ", ", rate_text(elapsed > 0 ? done / elapsed : 0), " steps/s"));
}

}  // namespace last
