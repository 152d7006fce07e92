#pragma once

#include <string>

namespace last {

// checksums.json of a finished run: the CRC-32C of config.json and of its tables (networks.csv,
// summary.txt, ensembles.csv, metrics.jsonl, [ensemble_]predictions.TARGET.csv), which are plain
// text and carry none themselves; and of these checksums. Networks, ensembles and cost.json carry
// their own.

// CRC-32C in hex, as the records of a run hold it.
std::string checksum_of(const std::string& text);

// Written before networks.csv, which makes the run a finished one and whose text is given.
void save_run_checksums(const std::string& run, const std::string& networks_csv);

// An Error names the first file that is not what it was when the run finished. A file that is no
// longer there is no damage, and neither is a run without checksums.json. A run that isn't finished
// isn't looked at: its files are yet to change.
void check_run_tables(const std::string& run);

}  // namespace last
