#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/last/engines/engines.h"
#include "trainer/data/targets.h"
#include "trainer/sweep/grid.h"
#include "trainer/training/network_progress.h"
#include "trainer/training/optimizer.h"

namespace last {

// K networks of one shape in training: their parameters, moments and engine.
class Bank {
 public:
  // `settings` of equal shape, `backbone` cut down to the maps that a batch holds.
  Bank(std::vector<Setting> settings, const std::vector<Target>& targets,
       const BackboneInfo& backbone, const ComputeOptions& compute);

  int64_t networks() const { return static_cast<int64_t>(settings_.size()); }
  const std::vector<Setting>& settings() const { return settings_; }
  const std::vector<NetworkProgress>& progress() const { return progress_; }
  std::vector<NetworkProgress>& progress() { return progress_; }
  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }
  StackedAdamW& optimizer() { return optimizer_; }
  int64_t classes(int64_t network) const;

  // Goes on with some of its networks, in the order given, and frees what the others held. What is
  // computed for those that stay does not change.
  void keep(const std::vector<int64_t>& networks);

  // One step on a batch; learning rates are those of `epoch` of `epochs`.
  //   labels int32 [targets, B], on the computing device
  void step(const at::Tensor& features, const at::Tensor& labels, int64_t epoch, int64_t epochs,
            int64_t warmup_epochs);
  // Turns the sums of the epoch into train_loss and train_accuracy. A network whose parameters are
  // no longer finite has diverged, even if its loss was not looked at since.
  void finish_epoch();
  // fp32 [K, B, C] on the CPU, C being the bank's largest class count; entries beyond a network's
  // own classes are -inf, those of networks that diverged mean nothing.
  at::Tensor logits(const at::Tensor& features);

 private:
  // [K] whether a network's parameters are all finite.
  std::vector<uint8_t> finite() const;

  std::vector<Setting> settings_;
  ComputeOptions compute_;
  std::unique_ptr<Engine> engine_;
  Parameters parameters_;
  Parameters gradients_;
  StackedAdamW optimizer_;
  std::vector<uint8_t> active_;
  std::vector<NetworkProgress> progress_;
  at::Tensor target_index_;  // int64 [K], on the computing device
};

// The settings of equal shape together, in order of their first network.
std::vector<std::vector<Setting>> group_by_shape(const std::vector<Setting>& settings);

// What an engine has to know of `settings`, which are of one shape.
BankConfig bank_config(const std::vector<Setting>& settings, const std::vector<Target>& targets,
                       const BackboneInfo& backbone);

// A bank for each shape.
std::vector<Bank> make_banks(const std::vector<Setting>& settings,
                             const std::vector<Target>& targets, const BackboneInfo& backbone,
                             const ComputeOptions& compute);

// Takes all but the networks of these indices (Setting::index) out of their banks, and out of the
// list banks that are empty then.
void keep_networks(std::vector<Bank>& banks, const std::set<int64_t>& indices);

}  // namespace last
