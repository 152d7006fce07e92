#include "trainer/training/stage.h"

#include <algorithm>
#include <limits>

#include "common/error.h"

namespace last {
namespace {

std::vector<int64_t> views_of(const Dataset& data) {
  std::vector<int64_t> views;
  for (int64_t sample = 0; sample < data.size(); ++sample) views.push_back(data.views(sample));
  return views;
}

void validate(std::vector<Bank>& banks, FeatureSource* val, bool due, const Schedule& schedule,
              const c10::Device& device, const std::function<void(int64_t)>& on_validation) {
  constexpr double kUnmeasured = std::numeric_limits<double>::quiet_NaN();
  std::vector<std::vector<Measured>> measured;
  if (due) measured = evaluate(banks, *val, schedule.batch_size, device, on_validation);
  for (size_t b = 0; b < banks.size(); ++b) {
    for (size_t k = 0; k < banks[b].progress().size(); ++k) {
      auto& network = banks[b].progress()[k];
      network.val_accuracy = due ? measured[b][k].accuracy : kUnmeasured;
      network.val_loss = due ? measured[b][k].loss : kUnmeasured;
    }
  }
}

// From `position` on. The loader's memory is free for validation when this returns.
void train_epoch(std::vector<Bank>& banks, FeatureSource& train, const std::vector<int64_t>& views,
                 const Schedule& schedule, StagePosition position, const c10::Device& device,
                 const StageObserver& observer) {
  auto order = epoch_order(views, static_cast<uint64_t>(schedule.data_seed), position.epoch);
  BatchLoader loader(train, std::move(order), schedule.batch_size, /*drop_last=*/true,
                     position.batch);
  LabelledBatch batch;
  while (loader.next(batch)) {
    const auto features = batch.features.to(device);
    const auto labels = batch.labels.to(device);
    for (auto& bank : banks) {
      bank.step(features, labels, position.epoch, schedule.epochs, schedule.warmup_epochs);
    }
    ++position.batch;
    observer.on_step(position);
  }
}

}  // namespace

int64_t validation_period(int64_t train_samples, int64_t val_samples) {
  const int64_t cost = 10 * val_samples;
  const int64_t epoch = 3 * std::max<int64_t>(1, train_samples);
  return std::max<int64_t>(1, (cost + epoch - 1) / epoch);
}

int64_t batches_per_epoch(const Dataset& train, const Schedule& schedule) {
  const int64_t batches = train.size() / schedule.batch_size;
  if (batches == 0) {
    fail("the training set has ", train.size(), " usable images, fewer than one batch of ",
         schedule.batch_size, " (--batch-size)",
         train.size() == 0 ? "" : concat("; give --batch-size ", train.size(), " or less"));
  }
  return batches;
}

void train_stage(std::vector<Bank>& banks, FeatureSource& train, FeatureSource* val,
                 const Schedule& schedule, StagePosition position, const c10::Device& device,
                 const StageObserver& observer) {
  const auto views = views_of(train.data());
  batches_per_epoch(train.data(), schedule);  // an Error where there is not one
  const int64_t period =
      val == nullptr ? 0 : validation_period(train.data().size(), val->data().size());
  for (int64_t epoch = position.epoch; epoch < schedule.epochs; ++epoch) {
    const int64_t first = epoch == position.epoch ? position.batch : 0;
    train_epoch(banks, train, views, schedule, {epoch, first}, device, observer);
    for (auto& bank : banks) bank.finish_epoch();
    const int64_t finished = epoch + 1;
    const bool due =
        val != nullptr && (finished == schedule.epochs || finished % period == 0 ||
                           (observer.wants_validation && observer.wants_validation(finished)));
    validate(banks, val, due, schedule, device, observer.on_validation);
    observer.on_epoch({epoch + 1, 0});
    observer.on_step({epoch + 1, 0});
  }
}

}  // namespace last
