#include "trainer/commands/plan.h"

#include <algorithm>
#include <chrono>
#include <iostream>
#include <limits>

#include "common/cli/device.h"
#include "common/cli/parse.h"
#include "trainer/report/number_text.h"
#include "trainer/report/summary.h"

namespace last {
namespace {

using Clock = std::chrono::steady_clock;

LabelledBatch first_batch(const RunOptions& options, const RunData& data,
                          const c10::Device& device) {
  std::vector<Draw> order;
  for (int64_t i = 0; i < options.schedule.batch_size; ++i) order.push_back({i, 0});
  FeatureSource source(data.train, data.maps, /*resident=*/false);
  BatchLoader loader(source, order, options.schedule.batch_size, /*drop_last=*/true);
  LabelledBatch batch;
  loader.next(batch);
  return {batch.features.to(device), batch.labels.to(device)};
}

double seconds_per_step(Bank& bank, const LabelledBatch& batch, const Schedule& schedule) {
  double best = std::numeric_limits<double>::infinity();
  for (int repetition = 0; repetition < 3; ++repetition) {  // the first one warms caches up
    const auto start = Clock::now();
    bank.step(batch.features, batch.labels, 0, schedule.epochs, schedule.warmup_epochs);
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

double bytes_of(const Bank& bank) {
  int64_t elements = 0;
  for (const auto& [name, tensor] : bank.parameters().named()) elements += tensor.numel();
  constexpr int64_t kCopies = 4;  // parameters, gradients, two moments
  return static_cast<double>(kCopies * elements * static_cast<int64_t>(sizeof(float)));
}

}  // namespace

void print_plan(const RunOptions& options, const RunData& data, const std::vector<Setting>& grid,
                const ComputeOptions& compute) {
  const auto& schedule = options.schedule;
  const int64_t batches = batches_per_epoch(data.train, schedule);
  const auto batch = first_batch(options, data, compute.device);
  auto banks = make_banks(grid, data.targets, data.backbone, compute);
  std::cout << grid.size() << " networks, " << schedule.epochs << " epochs of " << batches
            << " steps of " << schedule.batch_size << " images, "
            << describe_device(compute.device, compute.threads) << "\n";
  double seconds = 0;
  for (auto& bank : banks) {
    const double step = seconds_per_step(bank, batch, schedule);
    seconds += step;
    const auto& first = bank.settings().front();
    std::cout << "  bank of " << bank.networks() << " x " << describe(first)
              << " ..: " << count_parameters(first.network, data.backbone, bank.classes(0))
              << " parameters each (" << count_parameters_without_head(first.network, data.backbone)
              << " without head), " << format_size(bytes_of(bank))
              << " for all with gradients and moments, " << format_duration(step) << " per step\n";
  }
  const auto rungs = rungs_of(options);
  for (const auto& rung : rungs) {
    std::cout << "after epoch " << rung.epoch << " the best " << fixed(100 * rung.keep, 0)
              << " % of the settings of each target and method go on\n";
  }
  seconds *= static_cast<double>(batches * schedule.epochs) * halving_cost(rungs, schedule.epochs);
  std::cout << "about " << format_duration(seconds) << " for training"
            << (options.retrain ? ", and the same share again for each retrained network" : "")
            << "\n";
}

}  // namespace last
