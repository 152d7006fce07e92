#include "trainer/commands/outcome.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "common/last/network_file.h"

namespace last {
namespace {

nlohmann::json number(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr);
}

nlohmann::json describe_training(const NetworkRow& row) {
  return {{"network", row.setting.index},
          {"stage", row.stage},
          {"train_data", row.train_data},
          {"learning_rate", row.setting.learning_rate},
          {"head_learning_rate_scale", row.setting.head_learning_rate_scale},
          {"weight_decay", row.setting.weight_decay},
          {"label_smoothing", row.setting.label_smoothing},
          {"seed", row.setting.seed},
          {"epochs", row.epochs},
          {"val_accuracy", number(row.progress.val_accuracy)}};
}

bool is_candidate(const NetworkRow& row) { return row.progress.status == NetworkStatus::kOk; }

}  // namespace

std::vector<NetworkRow> network_rows(const std::vector<Bank>& banks, const RunData& data,
                                     const std::string& stage, const std::string& train_data,
                                     int64_t epochs) {
  std::vector<NetworkRow> rows;
  for (const auto& bank : banks) {
    for (size_t k = 0; k < bank.settings().size(); ++k) {
      const auto& setting = bank.settings()[k];
      const auto& target = data.targets[static_cast<size_t>(setting.target)];
      rows.push_back({setting, stage, target.name, epochs,
                      count_parameters(setting.network, data.backbone, target.classes),
                      count_parameters_without_head(setting.network, data.backbone), train_data,
                      bank.progress()[k]});
    }
  }
  std::sort(rows.begin(), rows.end(), [](const NetworkRow& a, const NetworkRow& b) {
    return a.setting.index < b.setting.index;
  });
  return rows;
}

std::vector<TargetChoice> choose_per_method(const std::vector<NetworkRow>& rows,
                                            const RunData& data) {
  std::vector<TargetChoice> choices;
  for (int64_t target = 0; target < static_cast<int64_t>(data.targets.size()); ++target) {
    for (const Method method : {Method::kLinear, Method::kLast}) {
      std::vector<NetworkRow> members;
      std::vector<Candidate> candidates;
      for (const auto& row : rows) {
        if (row.setting.target != target || row.setting.network.method != method) continue;
        if (!is_candidate(row)) continue;
        members.push_back(row);
        candidates.push_back({row.setting, row.progress.val_accuracy, row.parameters});
      }
      const bool validated =
          std::none_of(candidates.begin(), candidates.end(),
                       [](const Candidate& c) { return std::isnan(c.val_accuracy); });
      const bool one_setting =
          std::all_of(candidates.begin(), candidates.end(), [&](const Candidate& c) {
            return same_but_for_seed(c.setting, candidates.front().setting);
          });
      if (candidates.empty() || (!validated && !one_setting)) continue;
      const auto choice = choose_best(candidates);
      TargetChoice chosen{target, *choice, {}};
      for (const int64_t member : choice->members) {
        chosen.rows.push_back(members[static_cast<size_t>(member)]);
      }
      choices.push_back(std::move(chosen));
    }
  }
  return choices;
}

const TargetChoice* best_of_target(const std::vector<TargetChoice>& choices, int64_t target) {
  const TargetChoice* best = nullptr;
  size_t count = 0;
  for (const auto& choice : choices) {
    if (choice.target != target) continue;
    ++count;
    const double accuracy = choice.choice.mean_val_accuracy;
    if (best == nullptr || accuracy > best->choice.mean_val_accuracy) best = &choice;
  }
  // Two methods and nothing to compare them by.
  if (count > 1 && std::isnan(best->choice.mean_val_accuracy)) return nullptr;
  return best;
}

std::vector<Setting> retrain_settings(const std::vector<TargetChoice>& choices,
                                      const std::vector<int64_t>& seeds, int64_t first_index) {
  std::vector<Setting> settings;
  for (const auto& choice : choices) {
    for (const int64_t seed : seeds) {
      Setting setting = choice.choice.setting;
      setting.seed = seed;
      setting.index = first_index + static_cast<int64_t>(settings.size());
      settings.push_back(setting);
    }
  }
  return settings;
}

void export_networks(const std::vector<Bank>& banks, const std::vector<NetworkRow>& rows,
                     const RunData& data, const std::function<std::string(int64_t)>& path_of) {
  std::map<int64_t, const NetworkRow*> row_of;
  for (const auto& row : rows) row_of[row.setting.index] = &row;
  for (const auto& bank : banks) {
    for (int64_t k = 0; k < bank.networks(); ++k) {
      const auto& row = *row_of.at(bank.settings()[static_cast<size_t>(k)].index);
      if (row.progress.status == NetworkStatus::kDiverged) continue;
      const auto& target = data.targets[static_cast<size_t>(row.setting.target)];
      NetworkFile network{row.setting.network,
                          data.backbone,
                          bank.parameters().network(k).to(at::kCPU),
                          row.target,
                          target.class_names,
                          data.features,
                          describe_training(row)};
      auto& p = network.parameters;
      p.head_weight = p.head_weight.narrow(1, 0, target.classes);
      p.head_bias = p.head_bias.narrow(1, 0, target.classes);
      save_network(path_of(row.setting.index), network);
    }
  }
}

}  // namespace last
