#include "trainer/training/evaluation.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

namespace last {
namespace {

using Clock = std::chrono::steady_clock;

struct Tally {
  int64_t correct = 0;
  int64_t labelled = 0;
  double loss_sum = 0;
};

// -log softmax(logits)[label]
double cross_entropy(const float* logits, int64_t classes, int64_t label) {
  const double highest = *std::max_element(logits, logits + classes);
  double sum = 0;
  for (int64_t c = 0; c < classes; ++c) sum += std::exp(static_cast<double>(logits[c]) - highest);
  return highest + std::log(sum) - static_cast<double>(logits[label]);
}

// logits fp32 [K, B, C], labels int32 [targets, B]
void count(const at::Tensor& logits, const at::Tensor& labels, const Bank& bank,
           std::vector<Tally>& tallies) {
  const auto values = logits.contiguous();
  const auto predictions = logits.argmax(-1).contiguous();
  const int64_t batch = labels.size(1);
  const int64_t stride = values.size(2);
  for (int64_t k = 0; k < bank.networks(); ++k) {
    const auto& setting = bank.settings()[static_cast<size_t>(k)];
    auto& tally = tallies[static_cast<size_t>(k)];
    const auto* predicted = predictions.const_data_ptr<int64_t>() + k * batch;
    const auto* label = labels.const_data_ptr<int32_t>() + setting.target * batch;
    for (int64_t i = 0; i < batch; ++i) {
      if (label[i] == kUnlabelled) continue;
      tally.labelled += 1;
      tally.correct += predicted[i] == label[i] ? 1 : 0;
      tally.loss_sum += cross_entropy(values.const_data_ptr<float>() + (k * batch + i) * stride,
                                      bank.classes(k), label[i]);
    }
  }
}

Measured measured(const Tally& tally) {
  const auto labelled = static_cast<double>(tally.labelled);
  return {100 * static_cast<double>(tally.correct) / labelled, tally.loss_sum / labelled};
}

}  // namespace

std::vector<std::vector<Measured>> evaluate(std::vector<Bank>& banks, FeatureSource& source,
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
      count(logits, batch.labels, banks[b], tallies[b]);
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      for (auto& network : banks[b].progress()) {
        network.seconds += seconds / static_cast<double>(banks[b].networks());
      }
      if (on_logits) on_logits({b, logits, done});
    }
    done += batch.labels.size(1);
    on_batch(done);
  }
  constexpr double kUnmeasured = std::numeric_limits<double>::quiet_NaN();
  std::vector<std::vector<Measured>> result;
  for (size_t b = 0; b < banks.size(); ++b) {
    auto& row = result.emplace_back();
    for (size_t k = 0; k < tallies[b].size(); ++k) {
      const bool diverged = banks[b].progress()[k].status == NetworkStatus::kDiverged;
      const bool known = tallies[b][k].labelled > 0 && !diverged;
      row.push_back(known ? measured(tallies[b][k]) : Measured{kUnmeasured, kUnmeasured});
    }
  }
  return result;
}

}  // namespace last
