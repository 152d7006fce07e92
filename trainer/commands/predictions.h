#pragma once

#include <vector>

#include "trainer/commands/choices.h"
#include "trainer/commands/ensembles.h"
#include "trainer/commands/run_data.h"
#include "trainer/commands/run_directory.h"
#include "trainer/training/bank.h"

namespace last {

// Writes predictions.TARGET.csv for every target with a choice: what the chosen networks of each
// method, all seeds, say of each image of the test set, or else of the validation set; the target's
// best method first, and of each the lowest seed:
//   path,label,network,prediction,probability,label_probability,data
// label and prediction are class names where the target has them; label and label_probability are
// empty for unlabelled images; data is "test" or "val". On val the networks are those that were
// chosen there: one that was retrained on train + val has seen these images.
// Ensembles' predictions go to ensemble_predictions.TARGET.csv: the same columns, with "ensemble"
// for the network, in a file of its own so that a column of numbers stays one.
// Reads the images' features once.
//   ensembles: at most one per target, of networks that the run directory holds
void write_predictions(const RunDirectory& directory, const RunData& data,
                       const std::vector<TargetChoice>& choices,
                       const std::vector<Ensemble>& ensembles, int64_t batch_size,
                       const ComputeOptions& compute);

}  // namespace last
