#include "common/last/fused/engine.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <ATen/ops/full.h>

#include "common/error.h"
#include "common/last/fused/bank_view.h"
#include "common/last/fused/batch.h"
#include "common/last/fused/flush_subnormals.h"
#include "common/last/fused/image_pass.h"
#include "common/last/fused/plan.h"
#include "common/threads/thread_pool.h"

namespace last {
namespace fused {
namespace {

constexpr int kClassBlock = 64;  // of a head whose gradient one thread computes at a time

// One thread's share of an engine.
struct Worker {
  Worker(const Plan& plan, const Kernels& kernels)
      : pass(plan, kernels),
        head(plan.shape, kernels),
        normed(static_cast<size_t>(plan.shape.padded_dim)) {}

  ImagePass pass;
  HeadPass head;
  std::vector<float> normed;
};

// The labels of a step, and who has its turn when.
struct Targets {
  Targets(const at::Tensor& labels, const BankConfig& config, int64_t batch);

  int label(int64_t k, int64_t b) const { return labels[static_cast<size_t>(k * batch + b)]; }
  // Labelled images of network k before image b.
  int turn(int64_t k, int64_t b) const { return turns[static_cast<size_t>(k * batch + b)]; }

  int64_t batch;
  std::vector<int> labels, turns;  // [K, B]
  std::vector<int64_t> labelled;   // [K]
};

Targets::Targets(const at::Tensor& tensor, const BankConfig& config, int64_t batch_size)
    : batch(batch_size) {
  const int64_t networks = config.networks();
  if (tensor.dim() != 2 || tensor.size(0) != networks || tensor.size(1) != batch ||
      tensor.scalar_type() != at::kInt || !tensor.is_contiguous()) {
    fail("fused engine: expected contiguous int32 labels [", networks, ", ", batch, "], found ",
         tensor.toString(), " of shape ", tensor.sizes());
  }
  const int* data = tensor.const_data_ptr<int>();
  labels.assign(data, data + networks * batch);
  for (int64_t k = 0; k < networks; ++k) {
    int turn = 0;
    for (int64_t b = 0; b < batch; ++b) {
      const int label = this->label(k, b);
      if (label >= config.classes[static_cast<size_t>(k)]) {
        fail("fused engine: network ", k, " has ", config.classes[static_cast<size_t>(k)],
             " classes, image ", b, " of the batch has label ", label);
      }
      turns.push_back(turn);
      if (label >= 0) ++turn;
    }
    labelled.push_back(turn);
  }
}

class FusedEngine final : public Engine {
 public:
  // kernels: of training; exact_kernels: of predictions
  FusedEngine(BankConfig config, int threads, const Kernels& kernels, const Kernels& exact_kernels,
              BackwardForm form)
      : config_(std::move(config)),
        plan_((check_network_config(config_.network, config_.backbone), config_.network),
              config_.backbone, form),
        kernels_(kernels),
        exact_kernels_(exact_kernels),
        threads_(threads) {
    for (int i = 0; i < threads_.size(); ++i) workers_.push_back(nullptr);
    // Each thread allocates its own memory, so that it lies near its core.
    threads_.run([&](int i) {
      workers_[static_cast<size_t>(i)] = std::make_unique<Worker>(plan_, kernels_);
    });
  }

  const BankConfig& config() const override { return config_; }

  BatchResult forward_backward(const at::Tensor& features, const at::Tensor& labels,
                               const std::vector<uint8_t>& active, const Parameters& parameters,
                               Parameters& gradients) override;

  at::Tensor logits(const at::Tensor& features, const std::vector<uint8_t>& active,
                    const Parameters& parameters) override;

 private:
  // The active networks for which `wanted` holds.
  template <class Wanted>
  std::vector<int64_t> choose(const std::vector<uint8_t>& active, const Wanted& wanted) const {
    std::vector<int64_t> chosen;
    for (int64_t k = 0; k < config_.networks(); ++k) {
      if (active[static_cast<size_t>(k)] != 0 && wanted(k)) chosen.push_back(k);
    }
    return chosen;
  }
  // Calls job(worker, image, network) for all images and the given networks, in order.
  template <class Job>
  void for_images(const Features& features, const std::vector<int64_t>& networks, const Job& job) {
    Items items(features.batch, networks.size(), threads_.size());
    threads_.run([&](int thread) {
      const FlushSubnormals flush;
      Worker& worker = *workers_[static_cast<size_t>(thread)];
      int64_t loaded = -1;
      for (Item item; items.next(item);) {
        if (loaded != item.image) worker.pass.load(features.image(item.image), features.type);
        loaded = item.image;
        for (size_t i = item.first; i < item.last; ++i) job(worker, item.image, networks[i]);
      }
    });
  }

  void prepare(BankView& bank, const std::vector<int64_t>& networks, bool training) {
    const int64_t modules = plan_.modules;
    threads_.for_each(static_cast<int64_t>(networks.size()) * modules, [&](int64_t i, int) {
      bank.prepare(kernels_, networks[static_cast<size_t>(i / modules)],
                   static_cast<int>(i % modules));
    });
    const int64_t crossed = plan_.crossed_modules - 1;
    if (crossed < 1 || !training) return;
    threads_.for_each(static_cast<int64_t>(networks.size()) * crossed, [&](int64_t i, int) {
      bank.prepare_crossed(kernels_, networks[static_cast<size_t>(i / crossed)],
                           static_cast<int>(i % crossed));
    });
  }
  void finish_gradients(const BankView& bank, GradientView& gradients, HeadRows& rows,
                        const std::vector<int64_t>& networks);

  BankConfig config_;
  Plan plan_;
  const Kernels& kernels_;
  const Kernels& exact_kernels_;
  ThreadPool threads_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

BatchResult FusedEngine::forward_backward(const at::Tensor& features, const at::Tensor& labels,
                                          const std::vector<uint8_t>& active,
                                          const Parameters& parameters, Parameters& gradients) {
  const Features images(features, config_);
  const Targets targets(labels, config_, images.batch);
  const auto networks =
      choose(active, [&](int64_t k) { return targets.labelled[static_cast<size_t>(k)] > 0; });
  BankView bank(plan_, config_, parameters, true);
  GradientView sums(plan_, config_.networks(), gradients);
  HeadRows rows(plan_, config_.networks(), images.batch, parameters.head_bias.size(1));
  std::vector<Loss> losses(static_cast<size_t>(config_.networks() * images.batch));
  const auto places = static_cast<size_t>(plan_.modules * (plan_.strips + 1)) + 2;
  Tickets tickets(static_cast<size_t>(config_.networks()) * places);
  prepare(bank, networks, true);

  for_images(images, networks, [&](Worker& worker, int64_t b, int64_t k) {
    const int label = targets.label(k, b);
    if (label < 0) return;
    const auto index = static_cast<size_t>(k);
    const HeadView head = bank.head(k);
    float* d_logits = rows.d_logits(k, b);
    worker.head.forward(head, worker.pass.forward(bank.modules(k), kernels_), rows.normed(k, b),
                        d_logits);
    const double weight = 1.0 / static_cast<double>(targets.labelled[index]);
    losses[static_cast<size_t>(k * images.batch + b)] =
        HeadPass::loss(head.classes, label, config_.label_smoothing[index], weight, d_logits);
    worker.head.backward(head, d_logits, worker.pass.pooled_gradient());
    const Turn turn = {tickets, index * places, targets.turn(k, b)};
    if (plan_.network.norm == FinalNorm::kTrainable) {
      turn.take(places - 1, [&] {
        worker.head.add_norm_gradients(
            turn.overwrites(), gradients.final_norm_weight.data_ptr<float>() + k * plan_.shape.dim,
            gradients.final_norm_bias.data_ptr<float>() + k * plan_.shape.dim);
      });
    }
    worker.pass.backward(bank.modules(k), sums.modules(k),
                         {bank.crossed_weights(k), sums.crossed_sums(k)}, turn);
  });
  finish_gradients(bank, sums, rows, networks);

  BatchResult result;
  for (int64_t k = 0; k < config_.networks(); ++k) {
    const auto index = static_cast<size_t>(k);
    const bool counts = active[index] != 0;
    const int64_t labelled = counts ? targets.labelled[index] : 0;
    double total = 0;
    int64_t correct = 0;
    for (int64_t b = 0; b < images.batch; ++b) {
      const Loss& loss = losses[static_cast<size_t>(k * images.batch + b)];
      total += loss.value;
      correct += loss.correct ? 1 : 0;
    }
    if (counts && labelled == 0) {
      for (const auto& [name, tensor] : gradients.network(k).named()) tensor.zero_();
    }
    const double none = counts ? std::numeric_limits<double>::quiet_NaN() : 0.0;
    result.loss.push_back(labelled > 0 ? total / static_cast<double>(labelled) : none);
    result.correct.push_back(correct);
    result.labelled.push_back(labelled);
  }
  return result;
}

void FusedEngine::finish_gradients(const BankView& bank, GradientView& sums, HeadRows& rows,
                                   const std::vector<int64_t>& networks) {
  if (plan_.crossed_modules > 0) {
    threads_.for_each(static_cast<int64_t>(networks.size()) * plan_.strips, [&](int64_t i, int) {
      const int64_t k = networks[static_cast<size_t>(i / plan_.strips)];
      kernels_.add_crossed_gradients(plan_.shape, bank.modules(k).data(), plan_.crossed_modules,
                                     sums.crossed_sums(k), static_cast<int>(i % plan_.strips),
                                     sums.modules(k).data());
    });
  }
  Parameters& gradients = sums.tensors();
  const int64_t classes = gradients.head_bias.size(1);
  const int64_t class_blocks = (classes + kClassBlock - 1) / kClassBlock;
  const int64_t jobs = plan_.modules + class_blocks;
  threads_.for_each(static_cast<int64_t>(networks.size()) * jobs, [&](int64_t i, int) {
    const int64_t k = networks[static_cast<size_t>(i / jobs)];
    const auto module = static_cast<int>(i % jobs);
    if (module < plan_.modules) {
      sums.finish(kernels_, bank.modules(k)[static_cast<size_t>(module)], k, module);
      return;
    }
    // Rows beyond the network's own classes get zeros: their d_logits are.
    const int first = (module - plan_.modules) * kClassBlock;
    const int last = std::min(first + kClassBlock, static_cast<int>(classes));
    rows.gradients(kernels_, plan_.shape, k, first, last,
                   gradients.head_weight.data_ptr<float>() + k * classes * plan_.shape.dim,
                   gradients.head_bias.data_ptr<float>() + k * classes);
  });
}

at::Tensor FusedEngine::logits(const at::Tensor& features, const std::vector<uint8_t>& active,
                               const Parameters& parameters) {
  const Features images(features, config_);
  const auto networks = choose(active, [](int64_t) { return true; });
  const int64_t classes = parameters.head_bias.size(1);
  at::Tensor all =
      at::full({config_.networks(), images.batch, classes},
               -std::numeric_limits<double>::infinity(), at::TensorOptions().dtype(at::kFloat));
  float* out = all.data_ptr<float>();
  BankView bank(plan_, config_, parameters, false);
  prepare(bank, networks, false);
  for_images(images, networks, [&](Worker& worker, int64_t b, int64_t k) {
    worker.head.forward(bank.head(k), worker.pass.forward(bank.modules(k), exact_kernels_),
                        worker.normed.data(), out + (k * images.batch + b) * classes);
  });
  return all;
}

}  // namespace
}  // namespace fused

std::unique_ptr<Engine> make_fused_engine(BankConfig config, int threads) {
  return std::make_unique<fused::FusedEngine>(std::move(config), threads, fused::kernels(),
                                              fused::kernels(), fused::BackwardForm::kBest);
}

std::unique_ptr<Engine> make_fused_engine(BankConfig config, int threads,
                                          const std::string& instruction_set,
                                          fused::BackwardForm form) {
  const fused::Kernels* kernels = fused::find_kernels(instruction_set.c_str());
  if (kernels == nullptr) fail("fused engine: this processor has no ", instruction_set);
  const bool rounds = kernels == fused::bf16_kernels();
  return std::make_unique<fused::FusedEngine>(std::move(config), threads, *kernels,
                                              rounds ? fused::kernels() : *kernels,
                                              rounds ? fused::BackwardForm::kPlain : form);
}

int64_t fused_bytes_per_thread(const NetworkConfig& network, const BackboneInfo& backbone,
                               fused::BackwardForm form) {
  return fused::Workspace::bytes(fused::Plan(network, backbone, form));
}

int64_t fused_bytes(const BankConfig& config, int64_t images, int threads,
                    fused::BackwardForm form) {
  const int64_t classes = *std::max_element(config.classes.begin(), config.classes.end());
  const int64_t row = config.backbone.dim + classes;
  const fused::Plan plan(config.network, config.backbone, form);
  const int64_t crossed = plan.layout.weights() + plan.layout.sums();
  return threads * fused_bytes_per_thread(config.network, config.backbone, form) +
         config.networks() * (images * row + crossed) * static_cast<int64_t>(sizeof(float));
}

std::string fused_instruction_set() { return fused::kernels().name; }

std::string fused_bf16_instruction_set() {
  const fused::Kernels* bf16 = fused::bf16_kernels();
  return bf16 != nullptr ? bf16->name : fused_instruction_set();
}

}  // namespace last
