#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "trainer/sweep/grid.h"
#include "trainer/sweep/halving.h"
#include "trainer/sweep/part.h"
#include "trainer/sweep/search.h"
#include "trainer/training/stage.h"

namespace last {

// kVal: by mean validation accuracy; kLast: nothing is chosen where there is a choice.
enum class Selection { kVal, kLast };

// The command line of `trainer run`, read and checked.
struct RunOptions {
  std::vector<std::string> train;
  std::vector<std::string> val;
  std::vector<std::string> test;
  double val_fraction = 0;  // 0: no split
  std::string run;
  std::string labels;                // a file; empty: only the stores' own
  std::vector<std::string> targets;  // empty: all columns

  SearchSpace space;
  GridPart part;  // --part; with auto, `run` is the part's own directory
  Schedule schedule;
  std::string preset;  // its name, for the record; empty: none
  Search search;
  Selection select = Selection::kVal;
  bool retrain = false;  // --retrain train+val
  std::vector<int64_t> retrain_seeds;
  int64_t ensemble = 0;  // members; 0: none

  std::string device = "auto";
  Precision precision = Precision::kAuto;
  int64_t threads = 0;
  std::optional<int64_t> memory;  // bytes
  std::optional<double> time_limit;
  double checkpoint_every = 0;  // seconds
  bool dry_run = false;
};

// Nothing where --help was asked for and printed.
std::optional<RunOptions> parse_run_options(const std::vector<std::string>& arguments);

// When networks of the search are stopped: nowhere but with --search halving.
std::vector<Rung> rungs_of(const RunOptions& options);

// What must be equal when a run is resumed: everything that changes its results.
nlohmann::json resolved_options(const RunOptions& options);

}  // namespace last
