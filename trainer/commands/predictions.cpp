#include "trainer/commands/predictions.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>

#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros_like.h>

#include "common/cli/interrupt.h"
#include "common/cli/progress.h"
#include "common/io/csv.h"
#include "common/last/engines/engines.h"
#include "common/last/network_file.h"
#include "trainer/report/number_text.h"

namespace last {
namespace {

constexpr char kHeader[] = "path,label,network,prediction,probability,label_probability,data\n";

// An engine and the networks that it computes one after the other.
struct SharedEngine {
  NetworkConfig network;
  int64_t classes = 0;
  std::unique_ptr<Engine> engine;
};

// A network at work, for all who need it.
struct Member {
  Parameters parameters;
  Engine* engine = nullptr;
  at::Tensor probabilities;  // of the batch in hand, fp64 [B, classes]
};

// Every engine has its own threads and working memory: networks of one shape share one.
struct Members {
  std::vector<SharedEngine> engines;
  std::map<int64_t, Member> networks;
};

// A network or an ensemble, and the lines of its predictions so far.
struct Predictor {
  int64_t target = 0;
  std::string name;  // in the column "network"
  std::string file;
  std::vector<int64_t> members;  // networks; one that stands here twice counts twice
  std::string lines;
};

std::vector<const TargetChoice*> best_first(const std::vector<TargetChoice>& choices) {
  std::vector<const TargetChoice*> ordered;
  for (const auto& choice : choices) ordered.push_back(&choice);
  std::stable_sort(ordered.begin(), ordered.end(), [&](const auto* a, const auto* b) {
    if (a->target != b->target) return a->target < b->target;
    const auto* best = best_of_target(choices, a->target);
    return a == best && b != best;
  });
  return ordered;
}

std::vector<Predictor> make_predictors(const RunData& data,
                                       const std::vector<TargetChoice>& choices,
                                       const std::vector<Ensemble>& ensembles) {
  std::vector<Predictor> predictors;
  const auto target_name = [&](int64_t t) { return data.targets[static_cast<size_t>(t)].name; };
  for (const auto* choice : best_first(choices)) {
    auto rows = data.has_test() ? choice->rows : choice->searched;
    std::sort(rows.begin(), rows.end(), [](const NetworkRow& a, const NetworkRow& b) {
      return a.setting.seed < b.setting.seed;
    });
    for (const auto& row : rows) {
      if (row.progress.status != NetworkStatus::kOk) continue;
      const int64_t network = row.setting.index;
      predictors.push_back({choice->target,
                            std::to_string(network),
                            "predictions." + target_name(choice->target) + ".csv",
                            {network},
                            ""});
    }
  }
  for (const auto& ensemble : ensembles) {
    predictors.push_back({ensemble.target,
                          "ensemble",
                          "ensemble_predictions." + target_name(ensemble.target) + ".csv",
                          {},
                          ""});
    for (const auto& member : ensemble.members) {
      predictors.back().members.push_back(member.index);
    }
  }
  return predictors;
}

Engine* engine_for(const NetworkConfig& network, int64_t classes, const BackboneInfo& backbone,
                   const ComputeOptions& compute, std::vector<SharedEngine>& engines) {
  const auto found = std::find_if(engines.begin(), engines.end(), [&](const SharedEngine& shared) {
    return shared.network == network && shared.classes == classes;
  });
  if (found != engines.end()) return found->engine.get();
  engines.push_back({network, classes, make_engine({backbone, network, {classes}, {0}}, compute)});
  return engines.back().engine.get();
}

Members load_members(const std::vector<Predictor>& predictors, const RunDirectory& directory,
                     const RunData& data, const ComputeOptions& compute) {
  Members members;
  for (const auto& predictor : predictors) {
    for (const int64_t network : predictor.members) {
      if (members.networks.count(network) > 0) continue;
      const auto file = load_network(directory.network_file(network));
      members.networks[network] = {file.parameters.to(compute.device),
                                   engine_for(file.config, file.parameters.head_bias.size(1),
                                              data.backbone, compute, members.engines),
                                   at::Tensor()};
    }
  }
  return members;
}

void predict(Member& member, const at::Tensor& features) {
  const auto logits = member.engine->logits(features, {1}, member.parameters).to(at::kCPU);
  member.probabilities = at::softmax(logits[0], 1, at::kDouble);
}

std::string class_text(const Target& target, int64_t index) {
  return target.class_names.empty() ? std::to_string(index)
                                    : target.class_names[static_cast<size_t>(index)];
}

void append_lines(Predictor& predictor, const std::map<int64_t, Member>& members,
                  const Dataset& images, const Target& target, int64_t first,
                  const char* data_name) {
  at::Tensor sum = at::zeros_like(members.at(predictor.members.front()).probabilities);
  for (const int64_t member : predictor.members) sum.add_(members.at(member).probabilities);
  const auto mean = sum.div_(static_cast<double>(predictor.members.size())).contiguous();
  const int64_t classes = mean.size(1);
  for (int64_t i = 0; i < mean.size(0); ++i) {
    const auto sample = static_cast<size_t>(first + i);
    const double* row = mean.const_data_ptr<double>() + i * classes;
    const int64_t predicted = std::max_element(row, row + classes) - row;
    const int32_t label = images.labels(predictor.target)[sample];
    const bool labelled = label != kUnlabelled;
    predictor.lines += csv_field(images.ids()[sample]) + ',' +
                       (labelled ? csv_field(class_text(target, label)) : "") + ',' +
                       predictor.name + ',' + csv_field(class_text(target, predicted)) + ',' +
                       shortest(row[predicted]) + ',' + (labelled ? shortest(row[label]) : "") +
                       ',' + data_name + '\n';
  }
}

}  // namespace

void write_predictions(const RunDirectory& directory, const RunData& data,
                       const std::vector<TargetChoice>& choices,
                       const std::vector<Ensemble>& ensembles, int64_t batch_size,
                       const ComputeOptions& compute) {
  auto predictors = make_predictors(data, choices, ensembles);
  const Dataset& images = data.has_test() ? data.test : data.val;
  if (predictors.empty() || images.size() == 0) return;
  auto members = load_members(predictors, directory, data, compute);

  FeatureSource source(images, data.maps, Residence::kDisk);
  BatchLoader loader(source, sequential_order(images), batch_size, /*drop_last=*/false);
  Progress progress("predicting", "images", images.size());
  LabelledBatch batch;
  int64_t done = 0;
  while (loader.next(batch)) {
    check_interrupt(kHowToGoOn);
    const auto features = batch.features.to(compute.device);
    for (auto& [network, member] : members.networks) predict(member, features);
    for (auto& predictor : predictors) {
      append_lines(predictor, members.networks, images,
                   data.targets[static_cast<size_t>(predictor.target)], done,
                   data.has_test() ? "test" : "val");
    }
    done += batch.labels.size(1);
    progress.update(done);
  }
  progress.finish();
  std::map<std::string, std::string> files;
  for (const auto& predictor : predictors) {
    auto& text = files.try_emplace(predictor.file, kHeader).first->second;
    text += predictor.lines;
  }
  for (const auto& [file, text] : files) write_file_atomically(directory.file(file), text);
}

}  // namespace last
