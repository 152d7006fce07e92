#include "trainer/commands/joined_search.h"

#include <filesystem>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/io/file.h"
#include "common/io/json_integer.h"
#include "trainer/report/network_table_reader.h"

namespace last {
namespace {

constexpr char kFile[] = "checkpoints/joined.csv";
constexpr char kMetricsFile[] = "checkpoints/joined.json";

}  // namespace

void save_joined_search(const RunDirectory& directory, const JoinedSearch& search) {
  const nlohmann::json metrics = {{"metrics_bytes", search.metrics.bytes},
                                  {"metrics_crc32c", search.metrics.crc32c}};
  write_file_atomically(directory.file(kMetricsFile), metrics.dump() + "\n");
  write_file_atomically(directory.file(kFile), network_table_csv(search.rows));
}

std::optional<JoinedSearch> load_joined_search(const RunDirectory& directory,
                                               const std::vector<std::string>& targets) {
  const std::string path = directory.file(kFile);
  if (!std::filesystem::exists(path)) return std::nullopt;
  const std::string metrics_path = directory.file(kMetricsFile);
  try {
    const auto metrics = nlohmann::json::parse(read_text_file(metrics_path));
    return JoinedSearch{read_network_table(path, targets),
                        {static_cast<uint64_t>(json_integer(metrics.at("metrics_bytes"))),
                         static_cast<uint32_t>(json_integer(metrics.at("metrics_crc32c")))}};
  } catch (const nlohmann::json::exception& error) {
    fail("\"", metrics_path, "\" is damaged: ", error.what());
  }
}

}  // namespace last
