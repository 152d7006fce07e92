#include "trainer/commands/ensemble_accuracy.h"

#include <optional>
#include <utility>

#include "trainer/commands/target_predictions.h"

namespace last {
namespace {

// The bank and position of a network in a stage; nothing where it was stopped.
std::optional<std::pair<size_t, int64_t>> find_network(const TrainedStage& stage, int64_t index) {
  for (size_t b = 0; b < stage.banks.size(); ++b) {
    for (int64_t k = 0; k < stage.banks[b].networks(); ++k) {
      if (stage.banks[b].settings()[static_cast<size_t>(k)].index == index) return {{b, k}};
    }
  }
  return std::nullopt;
}

}  // namespace

EnsembleAccuracy::EnsembleAccuracy(std::vector<Ensemble>& ensembles, const TrainedStage& stage,
                                   const Dataset& test)
    : ensembles_(ensembles),
      stage_(stage),
      test_(test),
      sums_(ensembles.size()),
      correct_(ensembles.size(), 0),
      labelled_(ensembles.size(), 0) {}

LogitsObserver EnsembleAccuracy::observer() {
  if (ensembles_.empty()) return {};
  return [this](const BatchLogits& batch) { add(batch); };
}

void EnsembleAccuracy::add(const BatchLogits& batch) {
  for (size_t e = 0; e < ensembles_.size(); ++e) {
    const auto& target = ensembles_[e].target;
    for (const auto& member : ensembles_[e].members) {
      const auto place = find_network(stage_, member.index);
      if (!place || place->first != batch.bank) continue;
      const auto classes = stage_.banks[batch.bank].classes(place->second);
      const auto probabilities = probabilities_of(batch, place->second, classes);
      if (sums_[e].defined()) {
        sums_[e].add_(probabilities);
      } else {
        sums_[e] = probabilities;
      }
    }
    if (batch.bank + 1 < stage_.banks.size()) continue;  // more members may follow
    const auto predicted = sums_[e].argmax(1).contiguous();
    const auto& labels = test_.labels(target);
    for (int64_t i = 0; i < predicted.size(0); ++i) {
      const int32_t label = labels[static_cast<size_t>(batch.first_sample + i)];
      if (label == kUnlabelled) continue;
      labelled_[e] += 1;
      correct_[e] += predicted.const_data_ptr<int64_t>()[i] == label ? 1 : 0;
    }
    sums_[e] = at::Tensor();
  }
}

void EnsembleAccuracy::finish() {
  for (size_t e = 0; e < ensembles_.size(); ++e) {
    if (labelled_[e] == 0) continue;
    ensembles_[e].test_accuracy =
        100 * static_cast<double>(correct_[e]) / static_cast<double>(labelled_[e]);
  }
}

}  // namespace last
