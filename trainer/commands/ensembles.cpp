#include "trainer/commands/ensembles.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "common/cli/log.h"
#include "common/cli/parse.h"
#include "common/error.h"
#include "common/io/csv.h"
#include "common/last/bundle.h"
#include "trainer/commands/target_predictions.h"
#include "trainer/report/number_text.h"
#include "trainer/sweep/ensemble.h"

namespace last {
namespace {

// For the probabilities of all candidates of all targets. Beyond it the networks that are worst on
// val are left out: a constant, so that every machine chooses alike.
constexpr int64_t kMostProbabilityBytes = int64_t{1} << 30;

bool same_network(const Setting& a, const Setting& b) {
  return a.seed == b.seed && same_but_for_seed(a, b);
}

}  // namespace

std::vector<Ensemble> choose_ensembles(TrainedStage& stage, const StageRunner& stages,
                                       FeatureSource& val, const RunData& data, int64_t size) {
  std::vector<TargetPredictions> targets;
  const auto count = static_cast<int64_t>(data.targets.size());
  for (int64_t t = 0; t < count; ++t) {
    const int64_t bytes = kMostProbabilityBytes / count;
    targets.emplace_back(stage, val.data(), data.targets[static_cast<size_t>(t)], t, bytes);
    if (const int64_t left_out = targets.back().left_out(); left_out > 0) {
      log_warning(concat("target \"", data.targets[static_cast<size_t>(t)].name,
                         "\": the ensemble is chosen among the ",
                         targets.back().predictions().networks, " networks best on val: ", left_out,
                         " more don't fit into ", format_size(static_cast<double>(bytes)),
                         " of probabilities"));
    }
  }
  stages.evaluate(stage, val, "predicting val", [&](const BatchLogits& batch) {
    for (auto& target : targets) target.add(batch);
  });
  std::vector<Ensemble> ensembles;
  for (int64_t t = 0; t < count; ++t) {
    const auto& target = targets[static_cast<size_t>(t)];
    const auto choice = select_ensemble(target.predictions(), size);
    if (choice.members.empty()) continue;
    Ensemble ensemble{t, stage.name, stage.train_data, {}};
    for (const int64_t member : choice.members) {
      ensemble.members.push_back(target.settings()[static_cast<size_t>(member)]);
    }
    ensemble.val_accuracy = choice.accuracy;
    ensembles.push_back(std::move(ensemble));
  }
  return ensembles;
}

std::vector<Setting> missing_members(const std::vector<Ensemble>& ensembles,
                                     const std::vector<Setting>& settings, int64_t first_index) {
  std::vector<Setting> missing;
  const auto is_in = [](const std::vector<Setting>& list, const Setting& member) {
    return std::any_of(list.begin(), list.end(),
                       [&](const Setting& setting) { return same_network(setting, member); });
  };
  for (const auto& ensemble : ensembles) {
    for (Setting member : ensemble.members) {
      if (is_in(settings, member) || is_in(missing, member)) continue;
      member.index = first_index + static_cast<int64_t>(missing.size());
      missing.push_back(member);
    }
  }
  return missing;
}

std::vector<Ensemble> retrained_ensembles(const std::vector<Ensemble>& ensembles,
                                          const TrainedStage& retrained,
                                          std::vector<std::string>& warnings, const RunData& data) {
  std::vector<Ensemble> result;
  for (const auto& ensemble : ensembles) {
    Ensemble again{ensemble.target, retrained.name, retrained.train_data, {}};
    for (const auto& member : ensemble.members) {
      for (const auto& bank : retrained.banks) {
        for (size_t k = 0; k < bank.settings().size(); ++k) {
          if (!same_network(bank.settings()[k], member)) continue;
          if (bank.progress()[k].status != NetworkStatus::kOk) continue;
          again.members.push_back(bank.settings()[k]);
        }
      }
    }
    const size_t lost = ensemble.members.size() - again.members.size();
    if (lost > 0) {
      warnings.push_back(concat(
          "target \"", data.targets[static_cast<size_t>(ensemble.target)].name, "\": ", lost,
          " of ", ensemble.members.size(), " members of the ensemble diverged when retrained"));
    }
    if (!again.members.empty()) result.push_back(std::move(again));
  }
  return result;
}

void publish_ensemble(const RunDirectory& directory, const Ensemble& ensemble,
                      const RunData& data) {
  Bundle bundle;
  for (const auto& member : ensemble.members) {
    bundle.members.push_back(load_network(directory.network_file(member.index)));
  }
  const auto& target = data.targets[static_cast<size_t>(ensemble.target)].name;
  save_bundle(directory.file("ensemble." + target + ".safetensors"), bundle);
}

SummaryLine summarize(const Ensemble& ensemble, const RunData& data) {
  const auto& target = data.targets[static_cast<size_t>(ensemble.target)];
  std::vector<int64_t> members;
  int64_t parameters = 0;  // of the different networks
  for (const auto& member : ensemble.members) {
    const bool seen = std::find(members.begin(), members.end(), member.index) != members.end();
    if (!seen) parameters += count_parameters(member.network, data.backbone, target.classes);
    members.push_back(member.index);
  }
  return summarize_ensemble(target.name, ensemble.train_data, members, parameters,
                            ensemble.val_accuracy, ensemble.test_accuracy);
}

std::string ensemble_table_csv(const std::vector<Ensemble>& ensembles, const RunData& data) {
  std::ostringstream out;
  out << "target,size,members,val_accuracy,test_accuracy,train_data,stage\n";
  for (const auto& ensemble : ensembles) {
    std::string members;
    for (const auto& member : ensemble.members) {
      members += (members.empty() ? "" : ";") + std::to_string(member.index);
    }
    out << csv_field(data.targets[static_cast<size_t>(ensemble.target)].name) << ','
        << ensemble.members.size() << ',' << members << ',' << shortest(ensemble.val_accuracy)
        << ',' << shortest(ensemble.test_accuracy) << ',' << ensemble.train_data << ','
        << ensemble.stage << "\n";
  }
  return out.str();
}

}  // namespace last
