#include "trainer/commands/outcome.h"

#include <algorithm>
#include <map>

#include "common/last/network_file.h"
#include "trainer/training/json_number.h"

namespace last {
namespace {

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
          {"val_accuracy", json_number(row.progress.val_accuracy)}};
}

}  // namespace

std::vector<NetworkRow> network_rows(const std::vector<Bank>& banks,
                                     const std::vector<StoppedNetwork>& stopped,
                                     const RunData& data, const std::string& stage,
                                     const std::string& train_data, int64_t epochs) {
  std::vector<NetworkRow> rows;
  const auto add = [&](const Setting& setting, int64_t trained, const NetworkProgress& progress) {
    const auto& target = data.targets[static_cast<size_t>(setting.target)];
    rows.push_back({setting, stage, target.name, trained,
                    count_parameters(setting.network, data.backbone, target.classes),
                    count_parameters_without_head(setting.network, data.backbone), train_data,
                    progress});
  };
  for (const auto& bank : banks) {
    for (size_t k = 0; k < bank.settings().size(); ++k) {
      add(bank.settings()[k], epochs, bank.progress()[k]);
    }
  }
  for (const auto& network : stopped) add(network.setting, network.epochs, network.progress);
  std::sort(rows.begin(), rows.end(), [](const NetworkRow& a, const NetworkRow& b) {
    return a.setting.index < b.setting.index;
  });
  return rows;
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
