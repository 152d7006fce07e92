#include "trainer/training/bank.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

#include <ATen/ops/tensor.h>

#include "trainer/training/schedule.h"

namespace last {
namespace {

using Clock = std::chrono::steady_clock;

Parameters initial_parameters(const std::vector<Setting>& settings, const BankConfig& config,
                              const c10::Device& device) {
  int64_t most_classes = 0;
  for (const int64_t classes : config.classes) most_classes = std::max(most_classes, classes);
  auto parameters =
      make_parameters(config.networks(), config.network, config.backbone, most_classes);
  for (size_t k = 0; k < settings.size(); ++k) {
    initialize_network(parameters, static_cast<int64_t>(k), config.network, config.backbone,
                       config.classes[k], static_cast<uint64_t>(settings[k].seed));
  }
  return parameters.to(device);
}

at::Tensor target_indices(const std::vector<Setting>& settings, const c10::Device& device) {
  std::vector<int64_t> targets;
  for (const auto& setting : settings) targets.push_back(setting.target);
  return at::tensor(targets, at::kLong).to(device);
}

template <class Value>
std::vector<Value> chosen(const std::vector<Value>& values, const std::vector<int64_t>& indices) {
  std::vector<Value> some;
  for (const int64_t i : indices) some.push_back(values[static_cast<size_t>(i)]);
  return some;
}

}  // namespace

Bank::Bank(std::vector<Setting> settings, const std::vector<Target>& targets,
           const BackboneInfo& backbone, const ComputeOptions& compute)
    : settings_(std::move(settings)),
      compute_(compute),
      engine_(make_engine(bank_config(settings_, targets, backbone), compute)),
      parameters_(initial_parameters(settings_, engine_->config(), compute.device)),
      gradients_(parameters_.zeros_like()),
      optimizer_(parameters_, compute.threads),
      active_(settings_.size(), 1),
      progress_(settings_.size()),
      target_index_(target_indices(settings_, compute.device)) {}

void Bank::keep(const std::vector<int64_t>& networks) {
  auto config = engine_->config();
  config.classes = chosen(config.classes, networks);
  config.label_smoothing = chosen(config.label_smoothing, networks);
  const int64_t classes = *std::max_element(config.classes.begin(), config.classes.end());
  engine_.reset();  // its memory is needed for the copies
  gradients_ = {};
  parameters_ = parameters_.networks(networks, classes);
  optimizer_.keep(networks, classes);
  gradients_ = parameters_.zeros_like();
  settings_ = chosen(settings_, networks);
  progress_ = chosen(progress_, networks);
  active_.assign(networks.size(), 1);
  target_index_ = target_indices(settings_, compute_.device);
  engine_ = make_engine(std::move(config), compute_);
}

int64_t Bank::classes(int64_t network) const {
  return engine_->config().classes[static_cast<size_t>(network)];
}

void Bank::step(const at::Tensor& features, const at::Tensor& labels, int64_t epoch, int64_t epochs,
                int64_t warmup_epochs) {
  const auto start = Clock::now();
  for (size_t k = 0; k < active_.size(); ++k) {
    active_[k] = progress_[k].status == NetworkStatus::kOk ? 1 : 0;
  }
  const auto result = engine_->forward_backward(features, labels.index_select(0, target_index_),
                                                active_, parameters_, gradients_);
  std::vector<StackedAdamW::Hyperparameters> rates(active_.size());
  std::vector<uint8_t> stepping = active_;
  for (size_t k = 0; k < active_.size(); ++k) {
    if (active_[k] == 0) continue;
    auto& network = progress_[k];
    if (result.labelled[k] == 0) {
      stepping[k] = 0;
      continue;
    }
    if (!std::isfinite(result.loss[k])) {
      network.status = NetworkStatus::kDiverged;
      stepping[k] = 0;
      continue;
    }
    const auto count = static_cast<double>(result.labelled[k]);
    network.loss_sum += result.loss[k] * count;
    network.correct += result.correct[k];
    network.labelled += result.labelled[k];
    const auto& setting = settings_[k];
    const double rate = learning_rate_at(epoch, setting.learning_rate, epochs, warmup_epochs);
    const double head_peak = setting.learning_rate * setting.head_learning_rate_scale;
    rates[k] = {rate, learning_rate_at(epoch, head_peak, epochs, warmup_epochs),
                setting.weight_decay};
  }
  optimizer_.step(parameters_, gradients_, stepping, rates);
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  for (auto& network : progress_) network.seconds += seconds / static_cast<double>(networks());
}

std::vector<uint8_t> Bank::finite() const {
  std::vector<uint8_t> finite(settings_.size(), 1);
  for (const auto& [name, tensor] : parameters_.named()) {
    // A sum is finite unless an element is not (or all are huge, which is as bad).
    const auto sums = tensor.flatten(1).sum({1}).to(at::kCPU);
    for (size_t k = 0; k < finite.size(); ++k) {
      if (!std::isfinite(sums.const_data_ptr<float>()[k])) finite[k] = 0;
    }
  }
  return finite;
}

void Bank::finish_epoch() {
  constexpr double kUnmeasured = std::numeric_limits<double>::quiet_NaN();
  const auto finite = this->finite();
  for (size_t k = 0; k < progress_.size(); ++k) {
    auto& network = progress_[k];
    if (finite[k] == 0) network.status = NetworkStatus::kDiverged;
    const auto count = static_cast<double>(network.labelled);
    const bool measured = network.labelled > 0 && network.status == NetworkStatus::kOk;
    network.train_loss = measured ? network.loss_sum / count : kUnmeasured;
    network.train_accuracy =
        measured ? 100 * static_cast<double>(network.correct) / count : kUnmeasured;
    network.loss_sum = 0;
    network.correct = network.labelled = 0;
  }
}

at::Tensor Bank::logits(const at::Tensor& features) {
  std::vector<uint8_t> ok(active_.size());
  for (size_t k = 0; k < ok.size(); ++k) {
    ok[k] = progress_[k].status == NetworkStatus::kDiverged ? 0 : 1;
  }
  return engine_->logits(features, ok, parameters_).to(at::kCPU);
}

BankConfig bank_config(const std::vector<Setting>& settings, const std::vector<Target>& targets,
                       const BackboneInfo& backbone) {
  BankConfig config{backbone, settings.front().network, {}, {}};
  for (const auto& setting : settings) {
    config.classes.push_back(targets[static_cast<size_t>(setting.target)].classes);
    config.label_smoothing.push_back(setting.label_smoothing);
  }
  return config;
}

std::vector<std::vector<Setting>> group_by_shape(const std::vector<Setting>& settings) {
  std::vector<std::vector<Setting>> groups;
  for (const auto& setting : settings) {
    auto found = std::find_if(groups.begin(), groups.end(), [&](const auto& group) {
      return group.front().network == setting.network;
    });
    if (found == groups.end()) found = groups.insert(groups.end(), std::vector<Setting>{});
    found->push_back(setting);
  }
  return groups;
}

std::vector<Bank> make_banks(const std::vector<Setting>& settings,
                             const std::vector<Target>& targets, const BackboneInfo& backbone,
                             const ComputeOptions& compute) {
  std::vector<Bank> banks;
  for (auto& group : group_by_shape(settings)) {
    banks.emplace_back(std::move(group), targets, backbone, compute);
  }
  return banks;
}

void keep_networks(std::vector<Bank>& banks, const std::set<int64_t>& indices) {
  std::vector<Bank> left;
  for (auto& bank : banks) {
    std::vector<int64_t> positions;
    for (int64_t k = 0; k < bank.networks(); ++k) {
      if (indices.count(bank.settings()[static_cast<size_t>(k)].index) != 0) positions.push_back(k);
    }
    if (positions.empty()) continue;
    if (static_cast<int64_t>(positions.size()) < bank.networks()) bank.keep(positions);
    left.push_back(std::move(bank));
  }
  banks = std::move(left);
}

}  // namespace last
