#pragma once

#include <cstdint>
#include <string>

namespace last {

enum class NetworkStatus { kOk, kDiverged, kStopped };
std::string to_string(NetworkStatus status);
NetworkStatus parse_network_status(const std::string& name);

// What is known of one network in training.
struct NetworkProgress {
  NetworkStatus status = NetworkStatus::kOk;
  // Sums over the labelled rows of the epoch under way.
  double loss_sum = 0;
  int64_t correct = 0;
  int64_t labelled = 0;
  // Of the last finished epoch; NaN where unmeasured.
  double train_loss = 0;
  double train_accuracy = 0;  // percent
  double val_accuracy = 0;    // percent
  double val_loss = 0;        // mean cross-entropy, without label smoothing
  double test_accuracy = 0;   // percent
  double seconds = 0;         // its share of the wall time so far

  NetworkProgress();
};

}  // namespace last
