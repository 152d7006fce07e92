#include "trainer/commands/stage_runner.h"

#include <utility>

#include "common/cli/device.h"
#include "common/cli/interrupt.h"
#include "common/cli/log.h"
#include "common/cli/progress.h"
#include "common/error.h"
#include "common/io/json_integer.h"
#include "trainer/commands/outcome.h"
#include "trainer/commands/stage_keeper.h"
#include "trainer/training/checkpoint.h"

namespace last {
namespace {

// Reads features that are kept in memory or on the device beforehand, so that it is seen and can be
// interrupted.
void load_resident(FeatureSource& source) {
  if (!source.resident() || source.loaded()) return;
  Progress progress("loading features", "rows", source.data().total_rows());
  source.load([&](int64_t done) {
    check_interrupt(kHowToGoOn);
    progress.update(done);
  });
  progress.finish();
}

}  // namespace

void StageRunner::train_from_checkpoint(TrainedStage& stage, const std::vector<Setting>& settings,
                                        Stopper& stopper, FeatureSource& train,
                                        FeatureSource* val) {
  const std::string checkpoint = directory_.file("checkpoints/" + stage.name + ".safetensors");
  const auto& schedule = options_.schedule;
  StagePosition position;
  if (const auto restored = load_checkpoint(checkpoint, stage.banks)) {
    check_checkpoint(checkpoint, restored->extra.value("run", ""), directory_.identity());
    position = restored->position;
    metrics_ = {static_cast<uint64_t>(json_integer(restored->extra.at("metrics_bytes"))),
                static_cast<uint32_t>(json_integer(restored->extra.at("metrics_crc32c")))};
    stopper.restore(restored->extra.at("stopped"), settings);
    log_info(
        concat(stage.name, ": going on after epoch ", position.epoch, " of ", schedule.epochs));
  }
  const std::string metrics = directory_.file("metrics.jsonl");
  if (position.epoch == schedule.epochs) {
    MetricsLog::check(metrics, metrics_);  // what follows belongs to the next stage
    return;
  }
  load_resident(train);
  if (val != nullptr) load_resident(*val);
  MetricsLog log(metrics, metrics_);
  StageKeeper keeper(checkpoint, stage.banks, log, batches_per_epoch(train.data(), schedule),
                     schedule, position, stage.name, stopper, data_, directory_.identity(),
                     options_.checkpoint_every);
  auto observer = keeper.observer();
  observer.on_epoch = [&stage, on_epoch = observer.on_epoch](const StagePosition& reached) {
    on_epoch(reached);
    stage.board->follow();
  };
  train_stage(stage.banks, train, val, schedule, position, compute_.device, observer);
  metrics_ = log.position();
}

TrainedStage StageRunner::train(const std::string& name, const std::string& train_data,
                                const std::vector<Setting>& settings, std::vector<Rung> rungs,
                                FeatureSource& train, FeatureSource* val) {
  TrainedStage stage{
      name, train_data, make_banks(settings, data_.targets, data_.backbone, compute_), {}, {}};
  log_info(concat(
      name, ": ", settings.size(), settings.size() == 1 ? " network in " : " networks in ",
      stage.banks.size(), stage.banks.size() == 1 ? " bank" : " banks", ", ", train.data().size(),
      " images (", train_data, "), ", describe_device(compute_.device, compute_.threads), ", ",
      to_string(compute_.precision), " products"));
  stage.board = std::make_unique<TensorboardLog>(directory_.file("tensorboard"),
                                                 directory_.file("metrics.jsonl"), name, settings,
                                                 data_.target_names(), directory_.start());
  Stopper stopper(std::move(rungs));
  train_from_checkpoint(stage, settings, stopper, train, val);
  stage.stopped = stopper.stopped();
  return stage;
}

std::vector<std::vector<Measured>> StageRunner::evaluate(TrainedStage& stage, FeatureSource& source,
                                                         const std::string& label,
                                                         const LogitsObserver& on_logits) const {
  load_resident(source);
  Progress progress(label, "images", source.data().size());
  auto measured = last::evaluate(
      stage.banks, source, options_.schedule.batch_size, compute_.device,
      [&](int64_t done) {
        check_interrupt(kHowToGoOn);
        progress.update(done);
      },
      on_logits);
  progress.finish();
  return measured;
}

void StageRunner::test(TrainedStage& stage, FeatureSource& test,
                       const LogitsObserver& on_logits) const {
  const auto measured = evaluate(stage, test, "testing", on_logits);
  for (size_t b = 0; b < stage.banks.size(); ++b) {
    for (size_t k = 0; k < measured[b].size(); ++k) {
      stage.banks[b].progress()[k].test_accuracy = measured[b][k].accuracy;
    }
  }
}

std::vector<NetworkRow> StageRunner::export_stage(const TrainedStage& stage) const {
  auto rows = network_rows(stage.banks, stage.stopped, data_, stage.name, stage.train_data,
                           options_.schedule.epochs);
  export_networks(stage.banks, rows, data_,
                  [&](int64_t index) { return directory_.network_file(index); });
  stage.board->finish(rows);
  return rows;
}

}  // namespace last
