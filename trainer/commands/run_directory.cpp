#include "trainer/commands/run_directory.h"

#include <filesystem>
#include <sys/stat.h>

#include "common/error.h"
#include "common/feature_store/manifest.h"
#include "common/io/json_text.h"
#include "trainer/report/run_checksums.h"

namespace last {
namespace {

namespace fs = std::filesystem;

void create_folder(const std::string& path) {
  try {
    fs::create_directories(path);
  } catch (const fs::filesystem_error& error) {
    fail("can't create the folder \"", path, "\": ", error.code().message());
  }
}

// Creates the directory before the lock inside it is taken. The lock is the first thing in it: a
// directory with one is ours, however early a run was killed.
std::string prepared(const std::string& path) {
  try {
    if (fs::exists(path) && !fs::exists(path + "/config.json") && !fs::is_empty(path) &&
        !fs::exists(path + "/.lock")) {
      fail("\"", path, "\" is not empty and holds no earlier run; name another directory");
    }
  } catch (const fs::filesystem_error& error) {
    fail("can't look into the run directory \"", path, "\": ", error.code().message());
  }
  create_folder(path);
  return path;
}

nlohmann::json parse_config(const std::string& path) {
  auto config = parse_json(read_text_file(path));
  if (!config.is_object()) {
    fail("\"", path, "\" is damaged: it is not JSON; remove it and run the same command again");
  }
  return config;
}

}  // namespace

RunDirectory::RunDirectory(const std::string& path, const nlohmann::json& config)
    : path_(prepared(path)), lock_(path + "/.lock") {
  create_folder(file("checkpoints"));
  create_folder(file("networks"));
  const std::string config_file = file("config.json");
  if (!fs::exists(config_file)) {
    write_file_atomically(config_file, config.dump(2) + "\n");
    return;
  }
  const auto stored = parse_config(config_file);
  for (const char* part : {"options", "data", "part"}) {
    const auto difference =
        first_difference({{part, stored.value(part, nlohmann::json::object())}},
                         {{part, config.at(part)}}, "in the earlier run", "now");
    if (!difference.empty()) {
      check_run_tables(path);  // of a finished run, config.json itself may be what is wrong
      fail("\"", path, "\" holds a run of another configuration (", config_file, "): ", difference,
           "; name another --run directory, or delete this one");
    }
  }
}

bool RunDirectory::finished() const {
  if (!fs::exists(file("networks.csv"))) return false;
  check_run_tables(path_);
  return true;
}

double RunDirectory::start() const {
  const std::string path = file("config.json");
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) fail_errno(concat("can't look at \"", path, "\""));
  return static_cast<double>(status.st_mtim.tv_sec) +
         1e-9 * static_cast<double>(status.st_mtim.tv_nsec);
}

std::string RunDirectory::network_file(int64_t network) const {
  return file("networks/" + std::to_string(network) + ".safetensors");
}

}  // namespace last
