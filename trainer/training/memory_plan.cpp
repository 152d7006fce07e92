#include "trainer/training/memory_plan.h"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "common/cli/device.h"
#include "common/cli/log.h"
#include "common/cli/parse.h"
#include "common/error.h"
#include "trainer/data/batch_loader.h"
#include "trainer/data/memory.h"

namespace last {
namespace {

constexpr int64_t kStates = 4;  // parameters, gradients, two moments

int64_t states_of(const BankConfig& config) {
  const int64_t classes = *std::max_element(config.classes.begin(), config.classes.end());
  return kStates * static_cast<int64_t>(sizeof(float)) * config.networks() *
         count_parameters(config.network, config.backbone, classes);
}

// Networks that are trained at the same time.
struct Stage {
  std::vector<BankConfig> configs;
  std::vector<BankPlan> banks;
  int64_t networks = 0;
  int64_t states = 0;
  int64_t largest = 0;  // states of the largest bank
  int64_t engines = 0;  // their working memory

  int64_t bytes() const { return states + engines; }
};

Stage make_stage(const std::vector<Setting>& settings, const std::vector<Target>& targets,
                 const BackboneInfo& backbone) {
  Stage stage;
  stage.networks = static_cast<int64_t>(settings.size());
  for (auto& group : group_by_shape(settings)) {
    stage.configs.push_back(bank_config(group, targets, backbone));
    const int64_t states = states_of(stage.configs.back());
    stage.banks.push_back({std::move(group), states, {}});
    stage.states += states;
    stage.largest = std::max(stage.largest, states);
  }
  return stage;
}

// Plans the banks' engines with `max_bytes` of working memory. Together they take `engines`: on a
// GPU they use the same memory one after the other, on a CPU each keeps its own.
void plan_engines(Stage& stage, int64_t batch_size, int64_t max_bytes, ComputeOptions& compute) {
  compute.max_scratch_bytes = max_bytes;
  stage.engines = 0;
  for (size_t b = 0; b < stage.configs.size(); ++b) {
    auto& engine = stage.banks[b].engine;
    engine = plan_engine(stage.configs[b], batch_size, compute);
    stage.engines = compute.device.is_cpu() ? stage.engines + engine.bytes
                                            : std::max(stage.engines, engine.bytes);
  }
}

// Working memory on a CPU, where each engine keeps its own, of those that retraining may need
// beside `planned` ones: each choice may be of another shape.
int64_t more_engine_bytes(const Retraining& retrained, size_t planned,
                          const std::vector<Target>& targets, const BackboneInfo& backbone,
                          int64_t batch_size, const ComputeOptions& compute) {
  std::vector<int64_t> bytes;
  for (const auto& setting : retrained.shapes) {
    bytes.push_back(
        plan_engine(bank_config({setting}, targets, backbone), batch_size, compute).bytes);
  }
  std::sort(bytes.begin(), bytes.end(), std::greater<>());
  const auto most = std::min(bytes.size(), static_cast<size_t>(retrained.most_shapes));
  const auto count = most > planned ? most - planned : 0;
  return std::accumulate(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count),
                         int64_t{0});
}

// What a GPU's optimiser takes beside its states, at most, for a bank with these: copies of six
// tensors, of which the largest is three quarters of all, where it leaves networks out.
int64_t optimizer_bytes(int64_t states) { return states / kStates * 9 / 2; }

// The part of a GPU's memory that may be taken.
int64_t usable_device_memory(const c10::Device& device) {
  return free_device_memory(device) / 5 * 4;
}

int64_t usable_memory(const ComputeOptions& compute) {
  return compute.device.is_cpu() ? available_memory() : usable_device_memory(compute.device);
}

// "16 networks at the same time"
std::string network_count(int64_t networks) {
  return concat(networks, networks == 1 ? " network" : " networks", " at the same time");
}

std::string size_text(int64_t bytes) { return format_size(static_cast<double>(bytes)); }

// For a plan whose networks take more than its limit: an Error where the machine doesn't have it
// either, else a warning.
//   search_fits: so that only retraining is too large
void refuse_or_warn(const MemoryPlan& plan, int64_t networks, bool searches, bool search_fits,
                    bool given, int64_t possible) {
  const std::string needed = concat(
      plan.for_retraining ? "retraining up to " : "training ", network_count(networks), " takes ",
      size_text(plan.without_features()), " (networks ", size_text(plan.states),
      ", working memory ", size_text(plan.scratch), ", batches ", size_text(plan.batches),
      "), more than the ", size_text(plan.limit), given ? " of --memory" : " that may be used");
  if (given && plan.without_features() <= possible) {
    log_warning(needed + ": that is the least it can do with");
    return;
  }
  std::string remedy;
  if (searches && !search_fits) {
    remedy += "; train parts of the grid one after another (--part I/N)";
  }
  if (searches && plan.for_retraining) {
    remedy += "; give fewer --retrain-seeds or a smaller --ensemble";
  }
  fail(needed, remedy, given ? "" : ", or allow more with --memory");
}

}  // namespace

Retraining largest_retraining(const std::vector<Setting>& settings,
                              const std::vector<Target>& targets, const BackboneInfo& backbone,
                              int64_t seeds, int64_t members) {
  struct Sized {
    int64_t states;
    const Setting* setting;
  };
  std::map<int64_t, std::vector<Sized>> of_target;
  for (const auto& setting : settings) {
    const int64_t states = states_of(bank_config({setting}, targets, backbone));
    of_target[setting.target].push_back({states, &setting});
  }
  Retraining most;
  for (auto& [target, sized] : of_target) {
    std::stable_sort(sized.begin(), sized.end(),
                     [](const Sized& a, const Sized& b) { return a.states > b.states; });
    std::set<Method> seen;
    for (size_t i = 0; i < sized.size(); ++i) {
      const auto& setting = *sized[i].setting;
      const bool is_member = static_cast<int64_t>(i) < members;
      const bool is_choice = seen.insert(setting.network.method).second;
      const int64_t times = (is_member ? 1 : 0) + (is_choice ? seeds : 0);
      most.networks.insert(most.networks.end(), static_cast<size_t>(times), setting);
      most.most_shapes += (is_member ? 1 : 0) + (is_choice ? 1 : 0);
    }
  }
  for (const auto& group : group_by_shape(settings)) most.shapes.push_back(group.front());
  return most;
}

MemoryPlan plan_memory(const std::vector<Setting>& settings, const Retraining& retrained,
                       const std::vector<Target>& targets, const BackboneInfo& backbone,
                       int64_t batch_size, const FeatureBytes& features,
                       std::optional<int64_t> memory, ComputeOptions& compute) {
  const bool on_gpu = !compute.device.is_cpu();
  MemoryPlan plan;
  if (memory) {
    plan.limit = *memory;
  } else {
    plan.limit = on_gpu ? usable_device_memory(compute.device) : available_memory() / 2;
  }
  plan.batches = BatchLoader::kWindow * features.batch;
  plan.features = features.sets;
  auto search = make_stage(settings, targets, backbone);
  auto again = make_stage(retrained.networks, targets, backbone);
  const int64_t states = std::max(search.states, again.states);
  const int64_t optimizer = on_gpu ? optimizer_bytes(std::max(search.largest, again.largest)) : 0;
  const int64_t left = std::max<int64_t>(0, plan.limit - plan.batches - states - optimizer);
  const auto plan_both = [&](int64_t max_bytes) {
    plan_engines(again, batch_size, max_bytes, compute);
    if (!on_gpu) {
      again.engines +=
          more_engine_bytes(retrained, again.banks.size(), targets, backbone, batch_size, compute);
    }
    plan_engines(search, batch_size, max_bytes, compute);
    return std::max(search.engines, again.engines);
  };
  bool on_device = on_gpu && plan.features <= left / 2;
  const int64_t engines = plan_both(left - (on_device ? plan.features : 0));
  if (on_device && plan.features + engines > left) {  // not even the least fits beside them
    on_device = false;
    plan_both(left);
  }
  plan.for_retraining = settings.empty() || again.bytes() > search.bytes();
  const Stage& larger = plan.for_retraining ? again : search;
  plan.states = larger.states;
  plan.scratch = larger.engines + optimizer;
  plan.banks = settings.empty() ? again.banks : search.banks;
  if (plan.without_features() > plan.limit) {
    const bool search_fits = search.bytes() + plan.batches + optimizer <= plan.limit;
    refuse_or_warn(plan, larger.networks, !settings.empty(), search_fits, memory.has_value(),
                   usable_memory(compute));
  }
  const int64_t for_features =
      on_gpu ? available_memory() / 2 - plan.batches : plan.limit - plan.without_features();
  if (plan.features <= for_features) plan.residence = Residence::kMemory;
  if (on_device) plan.residence = Residence::kDevice;
  return plan;
}

}  // namespace last
