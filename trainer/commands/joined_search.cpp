#include "trainer/commands/joined_search.h"

#include <filesystem>
#include <system_error>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/io/file.h"
#include "common/io/json_integer.h"
#include "common/io/json_text.h"
#include "trainer/report/network_table_reader.h"
#include "trainer/report/run_checksums.h"

namespace last {
namespace {

constexpr char kTable[] = "checkpoints/joined.csv";
constexpr char kRecord[] = "checkpoints/joined.json";  // written before the table
constexpr char kRemedy[] = "delete the run directory and run `trainer merge` again";

}  // namespace

bool holds_joined_search(const std::string& run_directory) {
  std::error_code unknown;  // what can't be looked into is named when the directory is opened
  return std::filesystem::exists(std::filesystem::path(run_directory) / kTable, unknown);
}

void save_joined_search(const RunDirectory& directory, const JoinedSearch& search) {
  const std::string table = network_table_csv(search.rows);
  nlohmann::json record = {{"metrics_bytes", search.metrics.bytes},
                           {"metrics_crc32c", search.metrics.crc32c},
                           {"table_crc32c", checksum_of(table)}};
  record["crc32c"] = checksum_of(record.dump());  // of the others
  write_file_atomically(directory.file(kRecord), record.dump() + "\n");
  write_file_atomically(directory.file(kTable), table);
}

std::optional<JoinedSearch> load_joined_search(const RunDirectory& directory,
                                               const std::vector<std::string>& targets) {
  const std::string path = directory.file(kTable);
  if (!std::filesystem::exists(path)) return std::nullopt;
  const std::string record_path = directory.file(kRecord);
  JoinedSearch search;
  std::string table_crc;
  try {
    auto record = parse_json(read_text_file(record_path), "\"" + record_path + "\"", kRemedy);
    const auto own = record.at("crc32c").get<std::string>();
    record.erase("crc32c");
    if (own != checksum_of(record.dump())) {
      fail("\"", record_path, "\" is damaged: its own checksum is not right; ", kRemedy);
    }
    search.metrics = {static_cast<uint64_t>(json_integer(record.at("metrics_bytes"))),
                      static_cast<uint32_t>(json_integer(record.at("metrics_crc32c")))};
    table_crc = record.at("table_crc32c").get<std::string>();
  } catch (const nlohmann::json::exception& error) {
    fail("\"", record_path, "\" is damaged: ", error.what(), "; ", kRemedy);
  }
  const std::string found = checksum_of(read_text_file(path));
  if (found != table_crc) {
    fail("\"", path, "\" is damaged: its CRC-32C is ", found, ", joined.json beside it says ",
         table_crc, "; ", kRemedy);
  }
  MetricsLog::check(directory.file("metrics.jsonl"), search.metrics, "checkpoints/joined.json",
                    kRemedy);
  search.rows = read_network_table(path, targets);
  return search;
}

}  // namespace last
