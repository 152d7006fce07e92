#include "trainer/report/run_cost_file.h"

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/io/file.h"
#include "common/io/json_integer.h"
#include "common/io/json_text.h"
#include "trainer/report/run_checksums.h"

namespace last {
namespace {

std::string own_checksum(const CostRecord& cost) {
  return checksum_of(nlohmann::json({cost.sessions, cost.seconds, cost.peak_memory_bytes}).dump());
}

constexpr char kRemedy[] = "remove it to go on without the cost";

}  // namespace

void save_cost(const std::string& path, const CostRecord& cost) {
  const nlohmann::json file = {{"sessions", cost.sessions},
                               {"seconds", cost.seconds},
                               {"peak_memory_bytes", cost.peak_memory_bytes},
                               {"crc32c", own_checksum(cost)}};
  write_file_atomically(path, file.dump(2) + "\n");
}

CostRecord load_cost(const std::string& path) {
  CostRecord cost;
  std::string stored;
  try {
    const auto file = parse_json(read_text_file(path), "\"" + path + "\"", kRemedy);
    cost = {json_integer(file.at("sessions")), file.at("seconds").get<double>(),
            json_integer(file.at("peak_memory_bytes"))};
    stored = file.at("crc32c").get<std::string>();
  } catch (const nlohmann::json::exception& error) {
    fail("\"", path, "\" is damaged: ", error.what(), "; ", kRemedy);
  }
  const std::string found = own_checksum(cost);
  if (found != stored) {
    fail("\"", path, "\" is damaged: its CRC-32C is ", stored, ", that of its numbers is ", found,
         "; ", kRemedy);
  }
  return cost;
}

}  // namespace last
