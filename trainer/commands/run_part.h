#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "trainer/commands/run_options.h"
#include "trainer/report/network_table.h"
#include "trainer/sweep/part.h"

namespace last {

// A finished part of a grid, read from its run directory.
struct RunPart {
  std::string directory;
  nlohmann::json config;  // config.json
  GridPart part;
  std::vector<std::string> targets;
  Selection select = Selection::kVal;
  bool trains_after_search = false;  // --retrain
  std::vector<NetworkRow> rows;

  std::string file(const std::string& name) const { return directory + "/" + name; }
};

// The run directories that the items of `merge --run` mean: each a directory, or the DIR of
// `--part auto`, whose parts DIR.0000I-of-0000N are taken then.
std::vector<std::string> expand_parts(const std::vector<std::string>& items);

// An Error where there is no run, an unfinished one, or a damaged file.
RunPart read_run_part(const std::string& directory);

// The parts of one grid, each once, in order of their indices. An Error names two directories whose
// configuration or data differ (and the first difference), or that hold the same part or network,
// and the parts that are missing.
std::vector<RunPart> check_parts(std::vector<RunPart> parts);

}  // namespace last
