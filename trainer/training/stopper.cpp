#include "trainer/training/stopper.h"

#include <algorithm>
#include <map>
#include <set>

#include "common/error.h"
#include "common/io/json_integer.h"
#include "trainer/training/candidates.h"
#include "trainer/training/progress_json.h"

namespace last {
bool Stopper::due(int64_t epoch) const {
  return std::any_of(rungs_.begin(), rungs_.end(),
                     [&](const Rung& rung) { return rung.epoch == epoch; });
}

void Stopper::apply(std::vector<Bank>& banks, const std::vector<Target>& targets,
                    const BackboneInfo& backbone, int64_t epoch) {
  for (const auto& rung : rungs_) {
    if (rung.epoch != epoch) continue;
    const auto candidates = candidates_of(banks, targets, backbone);
    std::set<int64_t> kept;
    for (const int64_t i : going_on(candidates, rung.keep)) {
      kept.insert(candidates[static_cast<size_t>(i)].setting.index);
    }
    for (const auto& bank : banks) {
      for (size_t k = 0; k < bank.settings().size(); ++k) {
        if (kept.count(bank.settings()[k].index) != 0) continue;
        StoppedNetwork network{bank.settings()[k], epoch, bank.progress()[k]};
        if (network.progress.status == NetworkStatus::kOk) {
          network.progress.status = NetworkStatus::kStopped;
        }
        stopped_.push_back(network);
      }
    }
    keep_networks(banks, kept);
  }
}

nlohmann::json Stopper::state() const {
  auto state = nlohmann::json::array();
  for (const auto& network : stopped_) {
    auto entry = to_json(network.progress);
    entry["network"] = network.setting.index;
    entry["epochs"] = network.epochs;
    state.push_back(std::move(entry));
  }
  return state;
}

void Stopper::restore(const nlohmann::json& state, const std::vector<Setting>& settings) {
  std::map<int64_t, const Setting*> setting_of;
  for (const auto& setting : settings) setting_of[setting.index] = &setting;
  stopped_.clear();
  for (const auto& entry : state) {
    const auto index = json_integer(entry.at("network"));
    const auto found = setting_of.find(index);
    if (found == setting_of.end())
      fail("the checkpoint stopped network ", index, ", which this run has not");
    stopped_.push_back(
        {*found->second, json_integer(entry.at("epochs")), progress_from_json(entry)});
  }
}

}  // namespace last
