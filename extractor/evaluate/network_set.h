#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include "common/last/engine.h"
#include "extractor/evaluate/networks.h"

namespace last {

// Computes what all networks say of a batch: those of one shape together in one engine, and a
// network that is a member of several ensembles once.
class NetworkSet {
 public:
  // `backbone.layers` are the maps that features will hold: those of needed_layers().
  NetworkSet(const std::vector<NamedBundle>& bundles, const BackboneInfo& backbone,
             const c10::Device& device, int threads);

  // Networks that are computed.
  int64_t size() const;

  // Probabilities of each bundle's classes, fp32 [B, classes] on the CPU: the softmax of a
  // network's logits, or the mean of its members' softmaxes.
  //   features [B, layers, n, D], contiguous, on the device
  std::vector<at::Tensor> probabilities(const at::Tensor& features);

 private:
  struct Member {
    size_t bank = 0;
    int64_t network = 0;  // in its bank
    double weight = 0.0;
  };
  struct Bank {
    std::unique_ptr<Engine> engine;
    Parameters parameters;
  };

  std::vector<Bank> banks_;
  std::vector<std::vector<Member>> members_;  // of each bundle
  std::vector<int64_t> classes_;              // of each bundle
};

// The backbone's layers that at least one of them reads, ascending.
std::vector<int64_t> needed_layers(const std::vector<NamedBundle>& bundles);

}  // namespace last
