#include "trainer/report/run_checksums.h"

#include <filesystem>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/feature_store/hex.h"
#include "common/io/checksum.h"
#include "common/io/file.h"
#include "common/io/json_text.h"

namespace last {
namespace {

constexpr char kFile[] = "checksums.json";
constexpr char kMetrics[] = "metrics.jsonl";

// What to do about a damaged table.
std::string remedy_for(const std::string& name) {
  if (name == kMetrics) return "restore it from a copy, or train again in another run directory";
  // The configuration also says on which machine the run was made: written anew, its checksum may
  // be another one.
  return concat("remove ", name == "config.json" ? "it and checksums.json" : "networks.csv",
                " and run the same command again, which writes it anew");
}

bool has_checksum(const std::string& name) {
  return name == "config.json" || name == "summary.txt" || name == "ensembles.csv" ||
         name == "split.csv" || name == kMetrics ||
         ((name.starts_with("predictions.") || name.starts_with("ensemble_predictions.")) &&
          name.ends_with(".csv"));
}

}  // namespace

std::string checksum_of(const std::string& text) { return hex(crc32c(text.data(), text.size())); }

void save_run_checksums(const std::string& run, const std::string& networks_csv) {
  nlohmann::json checksums = {{"networks.csv", checksum_of(networks_csv)}};
  for (const auto& entry : std::filesystem::directory_iterator(run)) {
    const std::string name = entry.path().filename().string();
    if (has_checksum(name)) checksums[name] = checksum_of(read_text_file(entry.path().string()));
  }
  checksums[kFile] = checksum_of(checksums.dump());  // of the others
  write_file_atomically(run + "/" + kFile, checksums.dump(2) + "\n");
}

void check_run_tables(const std::string& run) {
  const std::string path = run + "/" + kFile;
  if (!std::filesystem::exists(run + "/networks.csv") || !std::filesystem::exists(path)) return;
  try {
    auto checksums = parse_json(read_text_file(path), "\"" + path + "\"");
    const auto own = checksums.at(kFile).get<std::string>();
    checksums.erase(kFile);
    if (own != checksum_of(checksums.dump())) {
      fail("\"", path, "\" is damaged: its own checksum is not right; remove it to go on without");
    }
    for (const auto& [name, stored] : checksums.get_ref<const nlohmann::json::object_t&>()) {
      const std::string file = run + "/" + name;
      if (!std::filesystem::exists(file)) continue;
      const std::string found = checksum_of(read_text_file(file));
      const auto expected = stored.get<std::string>();
      if (found != expected) {
        fail("\"", file, "\" is not what it was when the run finished: CRC-32C ", expected,
             " expected, ", found, " found; ", remedy_for(name),
             " (if it was changed on purpose, remove \"", path, "\")");
      }
    }
  } catch (const nlohmann::json::exception& error) {
    fail("\"", path, "\" is damaged: ", error.what());
  }
}

}  // namespace last
