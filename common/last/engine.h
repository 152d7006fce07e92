#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "common/backbone_info.h"
#include "common/last/config.h"
#include "common/last/parameters.h"

namespace last {

// K networks of one shape that are fed by the same batch.
struct BankConfig {
  BackboneInfo backbone;
  NetworkConfig network;
  std::vector<int64_t> classes;         // [K], outputs of each network
  std::vector<double> label_smoothing;  // [K]

  int64_t networks() const { return static_cast<int64_t>(classes.size()); }
};

// Sums over one batch, per network.
struct BatchResult {
  std::vector<double> loss;       // [K], mean cross-entropy over labelled rows; NaN: none labelled
  std::vector<int64_t> correct;   // [K], labelled rows whose largest logit is the label
  std::vector<int64_t> labelled;  // [K]
};

// The bank: one definition of LAST (the equations of network.h), several ways to compute it. An
// engine keeps no state between calls but scratch memory; one thread may call it at a time.
class Engine {
 public:
  virtual ~Engine() = default;

  virtual const BankConfig& config() const = 0;

  // Forward and backward of one batch.
  //   features  [B, layers, n, D], the store's dtype (fp16, bf16 or fp32), contiguous
  //   labels    int32 [K, B], -1 = unlabelled
  //   active    [K], networks with 0 are left out: their gradients and results are not touched
  //   gradients like `parameters`; overwritten with d(loss of network k)/d(parameters of network
  //   k);
  //             zero for a network none of whose rows is labelled
  virtual BatchResult forward_backward(const at::Tensor& features, const at::Tensor& labels,
                                       const std::vector<uint8_t>& active,
                                       const Parameters& parameters, Parameters& gradients) = 0;

  // fp32 [K, B, C]; entries beyond a network's own classes are -inf.
  virtual at::Tensor logits(const at::Tensor& features, const std::vector<uint8_t>& active,
                            const Parameters& parameters) = 0;
};

// The equations with autograd, network by network. Slow; what every other engine is compared with.
std::unique_ptr<Engine> make_reference_engine(BankConfig config);

}  // namespace last
