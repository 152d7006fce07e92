#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "common/last/parameters.h"
#include "common/threads/thread_pool.h"

namespace last {

// AdamW (Loshchilov & Hutter, arXiv 1711.05101; as torch.optim.AdamW: betas 0.9 and 0.999, eps
// 1e-8, decoupled decay) over the stacked parameters of K networks, each with its own learning
// rate, head learning rate, weight decay and step count. Biases are not decayed; everything else
// is, LayerNorm weights included. A network's update depends on its own numbers only.
class StackedAdamW {
 public:
  struct Hyperparameters {
    double learning_rate = 0;       // of this step
    double head_learning_rate = 0;  // of this step, for the head's Linear
    double weight_decay = 0;
  };

  // How a step is computed: one pass over memory, shared out to threads (CPU only), or a few tensor
  // operations for all networks at once, so that a GPU is not asked for thousands of small ones.
  enum class Form { kOnePass, kTensors };

  // threads: for kOnePass; the result doesn't depend on them.
  explicit StackedAdamW(const Parameters& parameters, int threads = 1);
  StackedAdamW(const Parameters& parameters, Form form, int threads = 1);

  // Updates the networks whose `active` entry is not 0.
  void step(Parameters& parameters, const Parameters& gradients, const std::vector<uint8_t>& active,
            const std::vector<Hyperparameters>& networks);

  // Goes on with some of the networks, in the order given, whose heads have `classes` rows.
  void keep(const std::vector<int64_t>& networks, int64_t classes);

  // State, for checkpoints.
  Parameters& first_moment() { return first_moment_; }
  Parameters& second_moment() { return second_moment_; }
  std::vector<int64_t>& steps() { return steps_; }  // [K]

 private:
  void step_in_one_pass(Parameters& parameters, const Parameters& gradients,
                        const std::vector<int64_t>& chosen,
                        const std::vector<Hyperparameters>& networks);

  Form form_;
  std::unique_ptr<ThreadPool> threads_;
  Parameters first_moment_;
  Parameters second_moment_;
  std::vector<int64_t> steps_;
};

}  // namespace last
