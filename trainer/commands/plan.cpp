#include "trainer/commands/plan.h"

#include <algorithm>
#include <chrono>
#include <iostream>
#include <limits>

#include "common/cli/device.h"
#include "common/cli/parse.h"
#include "common/cli/progress.h"
#include "common/error.h"
#include "trainer/report/number_text.h"
#include "trainer/report/summary.h"

namespace last {
namespace {

using Clock = std::chrono::steady_clock;

LabelledBatch first_batch(const RunOptions& options, const RunData& data,
                          const c10::Device& device) {
  std::vector<Draw> order;
  for (int64_t i = 0; i < options.schedule.batch_size; ++i) order.push_back({i, 0});
  FeatureSource source(data.train, data.maps, Residence::kDisk);
  BatchLoader loader(source, order, options.schedule.batch_size, /*drop_last=*/true);
  LabelledBatch batch;
  loader.next(batch);
  return {batch.features.to(device), batch.labels.to(device)};
}

// On a CPU time grows with the number of networks, so a few tell; a GPU has to be asked.
double seconds_per_step(const BankPlan& plan, const RunData& data, const LabelledBatch& batch,
                        const Schedule& schedule, const ComputeOptions& compute) {
  constexpr size_t kTimedNetworks = 8;
  auto settings = plan.settings;
  const auto networks = static_cast<double>(settings.size());
  if (compute.device.is_cpu() && settings.size() > kTimedNetworks) settings.resize(kTimedNetworks);
  const double share = networks / static_cast<double>(settings.size());
  Bank bank(std::move(settings), data.targets, data.backbone, compute);
  double best = std::numeric_limits<double>::infinity();
  for (int repetition = 0; repetition < 3; ++repetition) {  // the first one warms caches up
    const auto start = Clock::now();
    bank.step(batch.features, batch.labels, 0, schedule.epochs, schedule.warmup_epochs);
    best = std::min(best, seconds_since(start));
  }
  return best * share;
}

std::string describe_engine(const EnginePlan& engine, const ComputeOptions& compute) {
  if (compute.device.is_cpu()) return "an image and a network at a time per thread";
  return concat(engine.networks, " networks and ", engine.images, " images at a time");
}

std::string size_text(int64_t bytes) { return format_size(static_cast<double>(bytes)); }

const char* place_of(Residence residence) {
  switch (residence) {
    case Residence::kDevice:
      return "held in the GPU's memory";
    case Residence::kMemory:
      return "held in memory";
    case Residence::kDisk:
      return "streamed from disk at every epoch";
  }
  return "";
}

int64_t batches_of_epoch(const RunData& data, const Schedule& schedule, bool retraining) {
  if (!retraining) return batches_per_epoch(data.train, schedule);
  return batches_per_epoch(data.train.joined_with(data.val), schedule);
}

// Steps of all epochs, validations counted as the share of a step that a forward pass is.
// Retraining has no validation: its images are trained on.
double equivalent_steps(const RunData& data, const Schedule& schedule, bool retraining) {
  auto steps = static_cast<double>(batches_of_epoch(data, schedule, retraining) * schedule.epochs);
  if (data.has_val() && !retraining) {
    const int64_t val = data.val.size();
    const auto period = static_cast<double>(validation_period(data.train.size(), val));
    const double batches = static_cast<double>(val) / static_cast<double>(schedule.batch_size);
    steps += batches / 3 * static_cast<double>(schedule.epochs) / period;
  }
  return steps;
}

}  // namespace

std::string describe_memory(const MemoryPlan& plan) {
  return concat(size_text(plan.features), " of features ", place_of(plan.residence), ", ",
                size_text(plan.states), " of networks with gradients and moments",
                plan.for_retraining ? " when they are trained again" : "", ", ",
                size_text(plan.scratch), " of working memory, ", size_text(plan.batches),
                " of batches (limit ", size_text(plan.limit), ")");
}

void print_plan(const RunOptions& options, const RunData& data, const MemoryPlan& memory,
                bool joined, const ComputeOptions& compute) {
  if (joined) {
    std::cout << "the search was trained in parts and is joined; "
              << (memory.banks.empty() ? "nothing is left to train"
                                       : "what it may choose is trained again:")
              << "\n";
    if (memory.banks.empty()) return;
  }
  const auto& schedule = options.schedule;
  const int64_t batches = batches_of_epoch(data, schedule, joined);
  const auto batch = first_batch(options, data, compute.device);
  size_t networks = 0;
  for (const auto& bank : memory.banks) networks += bank.settings.size();
  std::cout << networks << " networks, " << schedule.epochs << " epochs of " << batches
            << " steps of " << schedule.batch_size << " images, "
            << describe_device(compute.device, compute.threads) << "\n";
  double seconds = 0;
  for (const auto& bank : memory.banks) {
    const double step = seconds_per_step(bank, data, batch, schedule, compute);
    seconds += step;
    const auto& first = bank.settings.front();
    const int64_t classes = data.targets[static_cast<size_t>(first.target)].classes;
    std::cout << "  bank of " << bank.settings.size() << " x " << describe(first)
              << " ..: " << count_parameters(first.network, data.backbone, classes)
              << " parameters each (" << count_parameters_without_head(first.network, data.backbone)
              << " without head), " << size_text(bank.states)
              << " for all with gradients and moments, " << size_text(bank.engine.bytes)
              << " of working memory (" << describe_engine(bank.engine, compute) << "), "
              << format_duration(step) << " per step\n";
  }
  const auto rungs = joined ? std::vector<Rung>{} : rungs_of(options);
  for (const auto& rung : rungs) {
    std::cout << "after epoch " << rung.epoch << " the best " << fixed(100 * rung.keep, 0)
              << " % of the settings of each target and method go on\n";
  }
  seconds *= equivalent_steps(data, schedule, joined) * halving_cost(rungs, schedule.epochs);
  std::cout << describe_memory(memory) << "\n"
            << "about " << format_duration(seconds) << " for training"
            << (data.has_val() && !joined ? " and validation" : "")
            << (options.retrain && !joined ? ", and the same share again for each retrained network"
                                           : "")
            << "\n";
}

}  // namespace last
