#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/report/network_table.h"
#include "trainer/report/tensorboard/events.h"

namespace last {

// RUN/tensorboard/: an event file with the columns of the HParams tab, and a folder network-ID with
// one event file per network, which TensorBoard shows as a run of its own. Everything is derived
// from metrics.jsonl, which a resumed run cuts back to its checkpoint: no point stands there twice.
// A point's wall time is the start of the run plus the network's own seconds so far, so that
// TensorBoard's relative time compares what networks cost.
class TensorboardLog {
 public:
  // Starts the files of these networks anew; what `metrics` (a metrics.jsonl) holds of them follows
  // at the first follow() or finish(), when it has been cut. Files of other networks stay.
  //   stage: "search" or "retrain"; targets: names by Setting::target; start: seconds since 1970
  TensorboardLog(std::string folder, std::string metrics, const std::string& stage,
                 const std::vector<Setting>& settings, const std::vector<std::string>& targets,
                 double start);

  // Appends what metrics.jsonl got since; files are touched every 20 seconds at most, since some
  // hundred of them lie on a network file system at times.
  void follow();
  // Appends the rest, the test accuracies of the rows, and how the networks ended.
  void finish(const std::vector<NetworkRow>& rows);

 private:
  struct Network {
    std::string pending;  // records that are not in the file yet
    double wall_time = 0;
  };

  std::string file_of(int64_t network) const;
  void read_metrics();
  void read_line(std::string_view text);
  void append_pending();

  std::string folder_;
  std::string metrics_;
  double start_;
  uint64_t bytes_read_ = 0;
  std::map<int64_t, Network> networks_;
  std::chrono::steady_clock::time_point written_;
};

// The columns of the HParams tab for one network: what the grid spans.
Hyperparameters hyperparameters_of(const Setting& setting, const std::string& target);

}  // namespace last
