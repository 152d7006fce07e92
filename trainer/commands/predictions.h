#pragma once

#include <vector>

#include "trainer/commands/choices.h"
#include "trainer/commands/run_data.h"
#include "trainer/commands/run_directory.h"
#include "trainer/training/bank.h"

namespace last {

// Writes predictions.TARGET.csv for every target with a choice: what the chosen network of each
// method, the best one first, says of each image of the test set, or else of the validation set:
//   path,label,network,prediction,probability,label_probability,data
// label and prediction are class names where the target has them; label and label_probability are
// empty for unlabelled images; data is "test" or "val". On val the network is the one that was
// chosen there: one that was retrained on train + val has seen these images.
// Reads the images' features once.
void write_predictions(const RunDirectory& directory, const RunData& data,
                       const std::vector<TargetChoice>& choices, int64_t batch_size,
                       const ComputeOptions& compute);

}  // namespace last
