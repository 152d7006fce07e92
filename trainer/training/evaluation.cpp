#include "trainer/training/evaluation.h"

#include <chrono>
#include <limits>

namespace last {
namespace {

using Clock = std::chrono::steady_clock;

struct Tally {
  int64_t correct = 0;
  int64_t labelled = 0;
};

// predictions int64 [K, B], labels int32 [targets, B]
void count(const at::Tensor& predictions, const at::Tensor& labels,
           const std::vector<Setting>& settings, std::vector<Tally>& tallies) {
  const auto contiguous = predictions.contiguous();
  const int64_t batch = labels.size(1);
  for (size_t k = 0; k < settings.size(); ++k) {
    const auto* predicted = contiguous.const_data_ptr<int64_t>() + static_cast<int64_t>(k) * batch;
    const auto* label = labels.const_data_ptr<int32_t>() + settings[k].target * batch;
    for (int64_t i = 0; i < batch; ++i) {
      if (label[i] == kUnlabelled) continue;
      tallies[k].labelled += 1;
      tallies[k].correct += predicted[i] == label[i] ? 1 : 0;
    }
  }
}

}  // namespace

std::vector<std::vector<double>> evaluate(std::vector<Bank>& banks, FeatureSource& source,
                                          int64_t batch_size, const c10::Device& device,
                                          const std::function<void(int64_t)>& on_batch,
                                          const LogitsObserver& on_logits) {
  std::vector<std::vector<Tally>> tallies;
  for (const auto& bank : banks) tallies.emplace_back(bank.settings().size());

  BatchLoader loader(source, sequential_order(source.data()), batch_size, /*drop_last=*/false);
  LabelledBatch batch;
  int64_t done = 0;
  while (loader.next(batch)) {
    const auto features = batch.features.to(device);
    for (size_t b = 0; b < banks.size(); ++b) {
      const auto start = Clock::now();
      const auto logits = banks[b].logits(features);
      count(logits.argmax(-1), batch.labels, banks[b].settings(), tallies[b]);
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      for (auto& network : banks[b].progress()) {
        network.seconds += seconds / static_cast<double>(banks[b].networks());
      }
      if (on_logits) on_logits({b, logits, done});
    }
    done += batch.labels.size(1);
    on_batch(done);
  }
  std::vector<std::vector<double>> accuracies;
  for (size_t b = 0; b < banks.size(); ++b) {
    auto& row = accuracies.emplace_back();
    for (size_t k = 0; k < tallies[b].size(); ++k) {
      const auto& [correct, labelled] = tallies[b][k];
      const bool measured =
          labelled > 0 && banks[b].progress()[k].status != NetworkStatus::kDiverged;
      row.push_back(measured ? 100 * static_cast<double>(correct) / static_cast<double>(labelled)
                             : std::numeric_limits<double>::quiet_NaN());
    }
  }
  return accuracies;
}

}  // namespace last
