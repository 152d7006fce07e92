#include "trainer/training/network_progress.h"

#include <limits>

#include "common/error.h"

namespace last {

std::string to_string(NetworkStatus status) {
  switch (status) {
    case NetworkStatus::kOk:
      return "ok";
    case NetworkStatus::kDiverged:
      return "diverged";
    case NetworkStatus::kStopped:
      return "stopped";
  }
  return "?";
}

NetworkStatus parse_network_status(const std::string& name) {
  for (const auto status :
       {NetworkStatus::kOk, NetworkStatus::kDiverged, NetworkStatus::kStopped}) {
    if (to_string(status) == name) return status;
  }
  fail("unknown network status \"", name, "\"");
}

NetworkProgress::NetworkProgress() {
  constexpr double kUnmeasured = std::numeric_limits<double>::quiet_NaN();
  train_loss = train_accuracy = val_accuracy = val_loss = test_accuracy = kUnmeasured;
}

}  // namespace last
