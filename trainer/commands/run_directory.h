#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "common/io/file.h"

namespace last {

// Error where a checkpoint's run isn't RunDirectory::identity().
void check_checkpoint(const std::string& checkpoint, const std::string& run,
                      const std::string& identity);

// What RunDirectory's constructor would refuse, with nothing created: --dry-run.
void check_run_directory(const std::string& path, const nlohmann::json& config);

// DIR of --run: config.json, networks.csv (written last: its presence means the run is finished),
// metrics.jsonl, checkpoints/, networks/ID.safetensors, best.TARGET.safetensors,
// predictions.TARGET.csv, tensorboard/, cost.json, checksums.json; with --val-fraction also
// split.csv; with --ensemble also
// ensemble.TARGET.safetensors, ensemble_predictions.TARGET.csv and ensembles.csv.
class RunDirectory {
 public:
  // Creates the directory, or opens one whose config.json has the same "options", "data" and
  // "part" (an Error names the first difference). Holds a lock, so that no second run writes here.
  RunDirectory(const std::string& path, const nlohmann::json& config);

  // An Error where a finished run's tables are damaged.
  bool finished() const;
  // When the run was started first, in seconds since 1970.
  double start() const;
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  std::string network_file(int64_t network) const;
  // Of the options, the data and the part: what checkpoints have to agree with.
  const std::string& identity() const { return identity_; }

 private:
  std::string path_;
  std::string identity_;
  FileLock lock_;
};

}  // namespace last
