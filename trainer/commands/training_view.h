#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "trainer/commands/run_data.h"
#include "trainer/sweep/halving.h"
#include "trainer/training/bank.h"
#include "trainer/training/stage.h"
#include "trainer/training/stopper.h"

namespace last {

// How far a stage is, for people: on a terminal a few lines that are drawn over themselves, else a
// line every few seconds, nothing with --quiet. Shows the networks under way, diverged and stopped,
// the rate and the remaining time, and for each target the setting that is best so far.
class TrainingView {
 public:
  // What it refers to must outlive it.
  //   stage: "search"; steps: per epoch; stopper: with the networks that had been stopped before
  //   `start`, where the stage goes on
  TrainingView(std::string stage, const std::vector<Bank>& banks, const RunData& data,
               int64_t steps, int64_t epochs, const Stopper& stopper, const StagePosition& start);

  void on_step(const StagePosition& position);
  // After an epoch: looks at what was measured.
  void on_epoch();
  // During validation, with the number of images done.
  void on_validation(int64_t images);
  void finish();

 private:
  struct Rate {
    double steps_per_second = 0;
    double seconds_left = 0;
  };

  int64_t steps(const StagePosition& position) const;
  // Of the first so many steps, in epochs of all networks: those that have stopped cost nothing.
  double work(int64_t steps) const;
  void find_best();
  void note_rate();
  std::optional<Rate> rate() const;
  std::string networks() const;
  std::string speed() const;
  std::vector<std::string> block() const;
  std::string one_line() const;
  void show();

  std::string stage_;
  const std::vector<Bank>& banks_;
  const RunData& data_;
  int64_t steps_per_epoch_;
  int64_t epochs_;
  std::vector<Rung> rungs_;
  StagePosition position_;
  StagePosition started_at_;
  int64_t all_networks_;
  int64_t validating_ = 0;  // images done; 0: not validating
  struct Best {
    std::string value;    // "val 91.20 %"
    std::string setting;  // "network 3: last r16 .."
  };
  std::vector<Best> best_;  // of each target; empty texts: not measured yet
  bool terminal_;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point shown_;
  // Steps done at times of late.
  std::deque<std::pair<std::chrono::steady_clock::time_point, int64_t>> recent_;
};

}  // namespace last
