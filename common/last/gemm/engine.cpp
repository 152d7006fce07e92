#include "common/last/gemm/engine.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include "common/error.h"
#include "common/last/gemm/head.h"
#include "common/last/gemm/modules.h"
#include "common/last/gemm/network_chunk.h"
#include "common/last/gemm/plan.h"

namespace last {
namespace {

using gemm::Activations;
using gemm::HeadState;
using gemm::ModuleContext;
using gemm::NetworkChunk;
using gemm::TokenMaps;
using gemm::Weights;

template <class T>
at::Tensor to_tensor(const std::vector<T>& values, at::ScalarType type) {
  auto tensor = at::empty({static_cast<int64_t>(values.size())}, type);
  std::copy(values.begin(), values.end(), tensor.data_ptr<T>());
  return tensor;
}

class GemmEngine final : public Engine {
 public:
  GemmEngine(BankConfig config, c10::Device device, GemmOptions options);

  const BankConfig& config() const override { return config_; }
  BatchResult forward_backward(const at::Tensor& features, const at::Tensor& labels,
                               const std::vector<uint8_t>& active, const Parameters& parameters,
                               Parameters& gradients) override;
  at::Tensor logits(const at::Tensor& features, const std::vector<uint8_t>& active,
                    const Parameters& parameters) override;

 private:
  struct Forward {
    Weights weights;
    Activations activations;
    at::Tensor pooled_branches;  // [K, M s, B]
    HeadState head;
  };

  void check(const at::Tensor& features, const std::vector<uint8_t>& active,
             const Parameters& parameters) const;
  void check_labels(const at::Tensor& features, const at::Tensor& labels) const;
  // The chunks for a batch of `images`; kept from call to call.
  const std::vector<NetworkChunk>& chunks(const std::vector<uint8_t>& active, int64_t images);
  TokenMaps token_maps(const at::Tensor& features, int64_t first, int64_t images,
                       const ModuleContext& context) const;
  Forward forward(const TokenMaps& maps, const Parameters& p, const NetworkChunk& chunk,
                  const ModuleContext& context, bool keep_states) const;
  Parameters backward(const TokenMaps& maps, const Parameters& p, Forward& forward,
                      const at::Tensor& d_logits) const;
  ModuleContext training() const {
    return {shape_, products_, options_.attention, options_.attention_max_bytes, options_.warn};
  }
  // Predictions don't depend on how training is computed.
  ModuleContext prediction() const {
    return {shape_, exact_, AttentionKernel::kProducts, options_.attention_max_bytes,
            options_.warn};
  }

  BankConfig config_;
  c10::Device device_;
  GemmOptions options_;
  gemm::Shape shape_;
  gemm::Products products_;
  gemm::Products exact_{ProductPrecision::kFp32};
  gemm::FrozenNorm frozen_;
  at::Tensor own_class_;  // [K, 1, C]
  at::Tensor smoothing_;  // [K, 1, 1]

  GemmPlan plan_;
  std::vector<uint8_t> planned_active_;
  int64_t planned_images_ = 0;
  std::vector<NetworkChunk> chunks_;
};

GemmEngine::GemmEngine(BankConfig config, c10::Device device, GemmOptions options)
    : config_(std::move(config)),
      device_(device),
      options_(std::move(options)),
      products_(options_.products) {
  check_network_config(config_.network, config_.backbone);
  if (config_.classes.empty() || config_.label_smoothing.size() != config_.classes.size()) {
    fail("GEMM engine: ", config_.classes.size(), " class counts and ",
         config_.label_smoothing.size(), " label smoothings; a bank has one of each per network");
  }
  shape_ = gemm::make_shape(config_.network, config_.backbone);
  if (config_.network.norm == FinalNorm::kFrozen) {
    frozen_.weight = config_.backbone.norm_weight.to(device, at::kFloat);
    frozen_.bias = config_.backbone.norm_bias.to(device, at::kFloat);
  }
  frozen_.eps = config_.backbone.norm_eps;
  const auto classes = to_tensor(config_.classes, at::kLong).view({-1, 1, 1});
  own_class_ = at::arange(classes.max().item<int64_t>(), at::kLong).lt(classes).to(device);
  smoothing_ =
      to_tensor(config_.label_smoothing, at::kDouble).view({-1, 1, 1}).to(device, at::kFloat);
}

void GemmEngine::check(const at::Tensor& features, const std::vector<uint8_t>& active,
                       const Parameters& parameters) const {
  const auto& backbone = config_.backbone;
  const auto layers = static_cast<int64_t>(backbone.layers.size());
  if (features.dim() != 4 || features.size(0) < 1 || features.size(1) != layers ||
      features.size(2) != backbone.tokens || features.size(3) != backbone.dim) {
    fail("GEMM engine: features are ", features.sizes(), ", expected [B, ", layers, ", ",
         backbone.tokens, ", ", backbone.dim, "]");
  }
  const auto& weight = parameters.head_weight;
  if (weight.device().type() != device_.type() || weight.size(0) != config_.networks() ||
      weight.size(1) != own_class_.size(2)) {
    fail("GEMM engine: head_weight is ", weight.sizes(), " on ", weight.device(), ", expected [",
         config_.networks(), ", ", own_class_.size(2), ", ", backbone.dim, "] on ", device_);
  }
  if (active.size() != config_.classes.size()) {
    fail("GEMM engine: ", active.size(), " flags for ", config_.classes.size(), " networks");
  }
}

void GemmEngine::check_labels(const at::Tensor& features, const at::Tensor& labels) const {
  if (labels.dim() != 2 || labels.size(0) != config_.networks() ||
      labels.size(1) != features.size(0)) {
    fail("GEMM engine: labels are ", labels.sizes(), ", expected [", config_.networks(), ", ",
         features.size(0), "]");
  }
  if (!labels.is_cpu()) return;  // reading them would stop the device
  const auto largest = labels.amax({1}).to(at::kLong);
  for (int64_t k = 0; k < config_.networks(); ++k) {
    const int64_t label = largest.data_ptr<int64_t>()[k];
    const int64_t classes = config_.classes[static_cast<size_t>(k)];
    if (label >= classes) {
      fail("GEMM engine: label ", label, " of network ", k, ", which has ", classes, " classes");
    }
  }
}

const std::vector<NetworkChunk>& GemmEngine::chunks(const std::vector<uint8_t>& active,
                                                    int64_t images) {
  if (images != planned_images_ || active != planned_active_) {
    if (images != planned_images_) plan_ = plan_gemm(config_, images, options_);
    chunks_ = gemm::make_chunks(active, plan_.networks, device_);
    planned_active_ = active;
    planned_images_ = images;
  }
  return chunks_;
}

TokenMaps GemmEngine::token_maps(const at::Tensor& features, int64_t first, int64_t images,
                                 const ModuleContext& context) const {
  const auto part = features.narrow(0, first, images).to(device_, features.scalar_type(), true);
  return gemm::make_token_maps(part, config_.network, config_.backbone, shape_,
                               context.products.operand_type());
}

GemmEngine::Forward GemmEngine::forward(const TokenMaps& maps, const Parameters& p,
                                        const NetworkChunk& chunk, const ModuleContext& context,
                                        bool keep_states) const {
  Forward result;
  const int64_t images = maps.pooled.size(0);
  auto pooled = maps.pooled.unsqueeze(0).expand({chunk.size(), images, shape_.dim});
  if (shape_.modules() > 0) {
    {
      const gemm::ProductSwitches allowed(context.products.tensor_float32());
      result.weights = gemm::make_weights(p, shape_);
      result.activations = gemm::modules_forward(context, maps, result.weights, keep_states);
    }
    // pool(z_m + sum_j O_j A_j) = pool(z_m) + sum_j pool(O_j) A_j
    result.pooled_branches =
        result.activations.branches.view({chunk.size(), -1, images, shape_.tokens})
            .narrow(3, shape_.first_pooled, shape_.pooled)
            .mean({3}, false, at::kFloat);
    pooled = at::baddbmm(pooled, result.pooled_branches.transpose(1, 2), result.weights.up);
  }
  result.head = gemm::head_forward(pooled.contiguous(), p, config_.network.norm, frozen_,
                                   chunk.take(own_class_));
  return result;
}

Parameters GemmEngine::backward(const TokenMaps& maps, const Parameters& p, Forward& forward,
                                const at::Tensor& d_logits) const {
  Parameters result;
  const auto d_pooled =
      gemm::head_backward(forward.head, d_logits, p, config_.network.norm, frozen_, result);
  if (shape_.modules() == 0) return result;
  const auto& weights = forward.weights;
  auto& branches = forward.activations.branches;
  const int64_t networks = branches.size(0), images = d_pooled.size(1);

  auto gradient = gemm::zero_gradients(weights);
  gradient.up.baddbmm_(forward.pooled_branches, d_pooled);
  const auto d_pooled_branches = weights.up.bmm(d_pooled.transpose(1, 2));  // [K, M s, B]
  auto d_branches = at::zeros(branches.sizes(), d_pooled.options());
  d_branches.view({networks, -1, images, shape_.tokens})
      .narrow(3, shape_.first_pooled, shape_.pooled)
      .copy_(d_pooled_branches.div(static_cast<double>(shape_.pooled)).unsqueeze(3));
  {
    const gemm::ProductSwitches allowed(products_.tensor_float32());
    gemm::modules_backward(training(), maps, weights, forward.activations, d_branches, gradient);
    gemm::weights_backward(p, weights, gradient, shape_, result);
  }
  return result;
}

BatchResult GemmEngine::forward_backward(const at::Tensor& features, const at::Tensor& labels,
                                         const std::vector<uint8_t>& active,
                                         const Parameters& parameters, Parameters& gradients) {
  const at::NoGradGuard no_gradients;
  const gemm::ProductSwitches exact(false);
  check(features, active, parameters);
  check_labels(features, labels);
  const int64_t networks = config_.networks(), batch = features.size(0);
  const auto device_labels = labels.to(device_, at::kLong, true);
  const auto labelled = device_labels.ge(0);               // [K, B]
  const auto count = labelled.sum({1}, true, at::kFloat);  // [K, 1]
  const auto row_weight = labelled.div(count.clamp_min(1));
  auto loss = at::zeros({networks}, count.options().dtype(at::kDouble));
  auto correct = at::zeros({networks}, device_labels.options());

  const auto& parts = chunks(active, batch);
  for (int64_t first = 0; first < batch; first += plan_.images) {
    const int64_t images = std::min(plan_.images, batch - first);
    const auto maps = token_maps(features, first, images, training());
    for (const auto& chunk : parts) {
      const auto p = chunk.take(parameters);
      auto pass = forward(maps, p, chunk, training(), true);
      const auto rows = [&](const at::Tensor& t) { return chunk.take(t).narrow(1, first, images); };
      const auto part = gemm::cross_entropy(
          pass.head.logits,
          {rows(device_labels), rows(row_weight), chunk.take(smoothing_), chunk.take(own_class_)});
      chunk.put(loss, part.loss, true);
      chunk.put(correct, part.correct, true);
      chunk.put(gradients, backward(maps, p, pass, part.d_logits), first > 0);
    }
  }

  // The step's only wait for the device.
  const auto host = at::stack({loss, correct.to(at::kDouble), count.view({-1}).to(at::kDouble)})
                        .to(at::kCPU)
                        .contiguous();
  const double* value = host.data_ptr<double>();
  const auto size = static_cast<size_t>(networks);
  BatchResult result{std::vector<double>(size, 0), std::vector<int64_t>(size, 0),
                     std::vector<int64_t>(size, 0)};
  for (size_t k = 0; k < size; ++k) {
    if (active[k] == 0) continue;
    result.correct[k] = static_cast<int64_t>(value[size + k]);
    result.labelled[k] = static_cast<int64_t>(value[2 * size + k]);
    result.loss[k] = result.labelled[k] > 0 ? value[k] : std::numeric_limits<double>::quiet_NaN();
  }
  return result;
}

at::Tensor GemmEngine::logits(const at::Tensor& features, const std::vector<uint8_t>& active,
                              const Parameters& parameters) {
  const at::NoGradGuard no_gradients;
  const gemm::ProductSwitches exact(false);
  check(features, active, parameters);
  const int64_t batch = features.size(0);
  auto result = at::full({config_.networks(), batch, own_class_.size(2)},
                         -std::numeric_limits<double>::infinity(), parameters.head_bias.options());
  const auto& parts = chunks(active, batch);
  for (int64_t first = 0; first < batch; first += plan_.images) {
    const int64_t images = std::min(plan_.images, batch - first);
    const auto maps = token_maps(features, first, images, prediction());
    auto rows = result.narrow(1, first, images);
    for (const auto& chunk : parts) {
      const auto pass = forward(maps, chunk.take(parameters), chunk, prediction(), false);
      chunk.put(rows, pass.head.logits, false);
    }
  }
  return result;
}

}  // namespace

std::unique_ptr<Engine> make_gemm_engine(BankConfig config, c10::Device device,
                                         GemmOptions options) {
  return std::make_unique<GemmEngine>(std::move(config), device, options);
}

}  // namespace last
