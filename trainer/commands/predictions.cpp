#include "trainer/commands/predictions.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "common/cli/interrupt.h"
#include "common/cli/progress.h"
#include "common/io/csv.h"
#include "common/last/engines/engines.h"
#include "common/last/network_file.h"
#include "trainer/report/number_text.h"

namespace last {
namespace {

// A chosen network at work, and the lines of its predictions so far.
struct Predictor {
  int64_t target = 0;
  int64_t network = 0;
  Parameters parameters;
  std::unique_ptr<Engine> engine;
  std::string lines;
};

Predictor make_predictor(const RunDirectory& directory, const RunData& data, int64_t target,
                         int64_t network, const ComputeOptions& compute) {
  const auto file = load_network(directory.network_file(network));
  const BankConfig config{data.backbone, file.config, {file.parameters.head_bias.size(1)}, {0}};
  return {target, network, file.parameters.to(compute.device), make_engine(config, compute), ""};
}

std::vector<Predictor> make_predictors(const RunDirectory& directory, const RunData& data,
                                       const std::vector<TargetChoice>& choices,
                                       const ComputeOptions& compute) {
  std::vector<const TargetChoice*> ordered;
  for (const auto& choice : choices) ordered.push_back(&choice);
  std::stable_sort(ordered.begin(), ordered.end(), [&](const auto* a, const auto* b) {
    if (a->target != b->target) return a->target < b->target;
    const auto* best = best_of_target(choices, a->target);
    return a == best && b != best;
  });
  std::vector<Predictor> predictors;
  for (const auto* choice : ordered) {
    const auto* network = choice->representative();
    if (network == nullptr) continue;
    const int64_t index = data.has_test() ? network->setting.index : choice->choice.setting.index;
    predictors.push_back(make_predictor(directory, data, choice->target, index, compute));
  }
  return predictors;
}

std::string class_text(const Target& target, int64_t index) {
  return target.class_names.empty() ? std::to_string(index)
                                    : target.class_names[static_cast<size_t>(index)];
}

// softmax(logits)[index]
double probability(const float* logits, int64_t classes, int64_t index) {
  const float largest = *std::max_element(logits, logits + classes);
  double sum = 0;
  for (int64_t c = 0; c < classes; ++c) sum += std::exp(double{logits[c]} - largest);
  return std::exp(double{logits[index]} - largest) / sum;
}

void append_lines(Predictor& predictor, const at::Tensor& features, const Dataset& images,
                  const Target& target, int64_t first, const char* data_name) {
  const auto logits =
      predictor.engine->logits(features, {1}, predictor.parameters).to(at::kCPU).contiguous();
  const int64_t classes = logits.size(2);
  for (int64_t i = 0; i < logits.size(1); ++i) {
    const auto sample = static_cast<size_t>(first + i);
    const float* row = logits.const_data_ptr<float>() + i * classes;
    const int64_t predicted = std::max_element(row, row + classes) - row;
    const int32_t label = images.labels(predictor.target)[sample];
    const bool labelled = label != kUnlabelled;
    predictor.lines +=
        csv_field(images.ids()[sample]) + ',' +
        (labelled ? csv_field(class_text(target, label)) : "") + ',' +
        std::to_string(predictor.network) + ',' + csv_field(class_text(target, predicted)) + ',' +
        shortest(probability(row, classes, predicted)) + ',' +
        (labelled ? shortest(probability(row, classes, label)) : "") + ',' + data_name + '\n';
  }
}

}  // namespace

void write_predictions(const RunDirectory& directory, const RunData& data,
                       const std::vector<TargetChoice>& choices, int64_t batch_size,
                       const ComputeOptions& compute) {
  auto predictors = make_predictors(directory, data, choices, compute);
  const Dataset& images = data.has_test() ? data.test : data.val;
  if (predictors.empty() || images.size() == 0) return;

  FeatureSource source(images, data.maps, /*resident=*/false);
  BatchLoader loader(source, sequential_order(images), batch_size, /*drop_last=*/false);
  Progress progress("predicting", "images", images.size());
  LabelledBatch batch;
  int64_t done = 0;
  while (loader.next(batch)) {
    check_interrupt(kHowToGoOn);
    const auto features = batch.features.to(compute.device);
    for (auto& predictor : predictors) {
      append_lines(predictor, features, images, data.targets[static_cast<size_t>(predictor.target)],
                   done, data.has_test() ? "test" : "val");
    }
    done += batch.labels.size(1);
    progress.update(done);
  }
  progress.finish();
  for (size_t t = 0; t < data.targets.size(); ++t) {
    std::string text = "path,label,network,prediction,probability,label_probability,data\n";
    bool any = false;
    for (const auto& predictor : predictors) {
      if (predictor.target != static_cast<int64_t>(t)) continue;
      text += predictor.lines;
      any = true;
    }
    if (!any) continue;
    write_file_atomically(directory.file("predictions." + data.targets[t].name + ".csv"), text);
  }
}

}  // namespace last
