#pragma once

#include <functional>
#include <vector>

#include "trainer/data/batch_loader.h"
#include "trainer/training/bank.h"

namespace last {

// Accuracy in percent of every network of every bank over the labelled samples of a data set
// (view 0): [banks][networks]. NaN where a network's target has no labelled sample or it diverged.
// `on_batch` is called with the number of samples done; it may throw (Interrupted).
std::vector<std::vector<double>> evaluate(std::vector<Bank>& banks, FeatureSource& source,
                                          int64_t batch_size, const c10::Device& device,
                                          const std::function<void(int64_t)>& on_batch);

}  // namespace last
