#include "trainer/commands/target_predictions.h"

#include <algorithm>
#include <cmath>

#include <ATen/ops/softmax.h>

namespace last {
namespace {

struct Place {
  size_t bank;
  int64_t position;
  double val_accuracy;
  int64_t network;
};

// The networks of a target that ended well and were validated.
std::vector<Place> places_of(const TrainedStage& stage, int64_t target) {
  std::vector<Place> places;
  for (size_t b = 0; b < stage.banks.size(); ++b) {
    const auto& bank = stage.banks[b];
    for (int64_t k = 0; k < bank.networks(); ++k) {
      const auto& progress = bank.progress()[static_cast<size_t>(k)];
      const auto& setting = bank.settings()[static_cast<size_t>(k)];
      if (setting.target != target || progress.status != NetworkStatus::kOk) continue;
      if (std::isnan(progress.val_accuracy)) continue;
      places.push_back({b, k, progress.val_accuracy, setting.index});
    }
  }
  return places;
}

}  // namespace

at::Tensor probabilities_of(const BatchLogits& batch, int64_t network, int64_t classes) {
  return at::softmax(batch.logits[network].narrow(1, 0, classes), 1, at::kDouble).contiguous();
}

TargetPredictions::TargetPredictions(const TrainedStage& stage, const Dataset& data,
                                     const Target& target, int64_t target_index,
                                     int64_t most_bytes) {
  predictions_.classes = target.classes;
  for (const int32_t label : data.labels(target_index)) {
    rows_.push_back(label == kUnlabelled ? -1 : predictions_.samples());
    if (label != kUnlabelled) predictions_.labels.push_back(label);
  }
  auto places = places_of(stage, target_index);
  const int64_t bytes = std::max<int64_t>(1, predictions_.samples()) * target.classes *
                        static_cast<int64_t>(sizeof(float));
  const auto most = static_cast<size_t>(std::max<int64_t>(1, most_bytes / bytes));
  if (places.size() > most) {
    std::sort(places.begin(), places.end(), [&](const Place& a, const Place& b) {
      if (a.val_accuracy != b.val_accuracy) return a.val_accuracy > b.val_accuracy;
      return a.network < b.network;
    });
    left_out_ = static_cast<int64_t>(places.size() - most);
    places.resize(most);
  }
  std::sort(places.begin(), places.end(),
            [&](const Place& a, const Place& b) { return a.network < b.network; });
  for (const auto& place : places) {
    slots_[place.bank].emplace_back(place.position, static_cast<int64_t>(settings_.size()));
    const auto& settings = stage.banks[place.bank].settings();
    settings_.push_back(settings[static_cast<size_t>(place.position)]);
  }
  predictions_.networks = static_cast<int64_t>(settings_.size());
  predictions_.probabilities.resize(
      static_cast<size_t>(predictions_.networks * predictions_.samples() * predictions_.classes));
}

void TargetPredictions::add(const BatchLogits& batch) {
  const auto slots = slots_.find(batch.bank);
  if (slots == slots_.end()) return;
  for (const auto& [position, candidate] : slots->second) {
    const auto probabilities = probabilities_of(batch, position, predictions_.classes);
    const auto* values = probabilities.const_data_ptr<double>();
    for (int64_t i = 0; i < probabilities.size(0); ++i) {
      const int64_t row = rows_[static_cast<size_t>(batch.first_sample + i)];
      if (row < 0) continue;
      const auto* first = values + i * predictions_.classes;
      std::transform(first, first + predictions_.classes, predictions_.of(candidate, row),
                     [](double value) { return static_cast<float>(value); });
    }
  }
}

}  // namespace last
