#include "trainer/commands/stage_keeper.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/cli/interrupt.h"
#include "common/cli/progress.h"
#include "common/error.h"
#include "trainer/training/checkpoint.h"

namespace last {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

StageKeeper::StageKeeper(std::string checkpoint, std::vector<Bank>& banks, MetricsLog& log,
                         int64_t batches, const Schedule& schedule, const StagePosition& start,
                         const std::string& label, Stopper& stopper, const RunData& data,
                         const std::string& run, double seconds_between_saves)
    : checkpoint_(std::move(checkpoint)),
      banks_(banks),
      stopper_(stopper),
      data_(data),
      run_(run),
      log_(log),
      batches_(batches),
      schedule_(schedule),
      view_(label, banks, data, batches, schedule.epochs, stopper, start),
      saved_(Clock::now()),
      seconds_between_saves_(seconds_between_saves) {}

StageObserver StageKeeper::observer() {
  return {[this](const StagePosition& position) { on_step(position); },
          [this](const StagePosition& position) { on_epoch(position); },
          [this](int64_t images) {
            check_interrupt(kHowToGoOn);
            view_.on_validation(images);
          },
          [this](int64_t epoch) { return stopper_.due(epoch); }};
}

void StageKeeper::on_step(const StagePosition& position) {
  const bool done = position.epoch == schedule_.epochs;
  const auto reason = done ? std::nullopt : interrupt_reason();
  // The end of an epoch is saved sooner: validation follows, which can be interrupted, too.
  const double wanted =
      position.batch == batches_ ? std::min(5.0, seconds_between_saves_) : seconds_between_saves_;
  const double wait = std::max(wanted, least_wait_);
  if (done || reason || seconds_since(saved_) > wait) save(position);
  view_.on_step(position);
  if (done) view_.finish();
  if (reason) {
    throw Interrupted(concat(*reason, " in epoch ", position.epoch + 1, " of ", schedule_.epochs,
                             "; ", kHowToGoOn));
  }
}

void StageKeeper::on_epoch(const StagePosition& position) {
  log_.append_epoch(banks_, position.epoch, schedule_.epochs, schedule_.warmup_epochs);
  view_.on_epoch();
  stopper_.apply(banks_, data_.targets, data_.backbone, position.epoch);
}

void StageKeeper::save(const StagePosition& position) {
  const auto start = Clock::now();
  save_checkpoint(checkpoint_, banks_, position,
                  {{"run", run_},
                   {"metrics_bytes", log_.position().bytes},
                   {"metrics_crc32c", log_.position().crc32c},
                   {"stopped", stopper_.state()}});
  saved_ = Clock::now();
  // Large banks take long to write: never more than a twentieth of the time.
  least_wait_ = 20 * seconds_since(start);
}

}  // namespace last
