#pragma once

#include <functional>
#include <vector>

#include "trainer/data/batch_loader.h"
#include "trainer/training/bank.h"

namespace last {

// What one bank said about one batch of a data set.
struct BatchLogits {
  size_t bank = 0;           // index
  at::Tensor logits;         // of Bank::logits, fp32 [K, B, C] on the CPU
  int64_t first_sample = 0;  // image i of the batch is this sample plus i
};
using LogitsObserver = std::function<void(const BatchLogits&)>;

// What a network reaches on the labelled samples of a data set (view 0); NaN where its target has
// none or it diverged.
struct Measured {
  double accuracy = 0;  // percent
  double loss = 0;      // mean cross-entropy, without label smoothing
};

// Every network of every bank over a data set: [banks][networks].
// `on_batch` is called with the number of samples done; it may throw (Interrupted). `on_logits`,
// where given, sees what every bank said about every batch.
std::vector<std::vector<Measured>> evaluate(std::vector<Bank>& banks, FeatureSource& source,
                                            int64_t batch_size, const c10::Device& device,
                                            const std::function<void(int64_t)>& on_batch,
                                            const LogitsObserver& on_logits = {});

}  // namespace last
