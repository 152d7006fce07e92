#include "trainer/commands/run_directory.h"

#include <filesystem>
#include <sys/stat.h>

#include "common/error.h"
#include "common/feature_store/manifest.h"
#include "common/io/checksum.h"
#include "common/io/json_text.h"
#include "trainer/report/run_checksums.h"
#include "trainer/training/checkpoint.h"

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

// A directory with a lock is ours, however early a run was killed.
void check_free_or_ours(const std::string& path) {
  try {
    if (fs::exists(path) && !fs::exists(path + "/config.json") && !fs::is_empty(path) &&
        !fs::exists(path + "/.lock")) {
      fail("\"", path, "\" is not empty and holds no earlier run; name another directory");
    }
  } catch (const fs::filesystem_error& error) {
    fail("can't look into the run directory \"", path, "\": ", error.code().message());
  }
}

// Creates the directory before the lock inside it, the first thing there, is taken.
std::string prepared(const std::string& path) {
  check_free_or_ours(path);
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

constexpr const char* kIdentity[] = {"options", "data", "part"};  // of config.json

std::string identity_of(const nlohmann::json& config) {
  std::string text;
  for (const char* part : kIdentity) text += config.at(part).dump() + "\n";
  return to_hex(sha256(text.data(), text.size()));
}

void check_same_run(const std::string& path, const nlohmann::json& config) {
  const std::string config_file = path + "/config.json";
  const auto stored = parse_config(config_file);
  for (const char* part : kIdentity) {
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

// Without config.json only the checkpoints tell what run is in the directory.
void check_checkpoints(const std::string& path, const std::string& identity) {
  for (const char* stage : {"search", "retrain"}) {
    const std::string checkpoint = path + "/checkpoints/" + stage + ".safetensors";
    if (fs::exists(checkpoint))
      check_checkpoint(checkpoint, run_of_checkpoint(checkpoint), identity);
  }
}

void check_run(const std::string& path, const nlohmann::json& config) {
  if (fs::exists(path + "/config.json")) {
    check_same_run(path, config);
  } else {
    check_checkpoints(path, identity_of(config));
  }
}

}  // namespace

void check_checkpoint(const std::string& checkpoint, const std::string& run,
                      const std::string& identity) {
  if (run == identity) return;
  fail("\"", checkpoint, "\" is of a run with other options or data",
       "; name another --run directory, or delete this one");
}

void check_run_directory(const std::string& path, const nlohmann::json& config) {
  check_free_or_ours(path);
  check_run(path, config);
}

RunDirectory::RunDirectory(const std::string& path, const nlohmann::json& config)
    : path_(prepared(path)), identity_(identity_of(config)), lock_(path + "/.lock") {
  create_folder(file("checkpoints"));
  create_folder(file("networks"));
  const std::string config_file = file("config.json");
  check_run(path, config);
  if (!fs::exists(config_file)) write_file_atomically(config_file, config.dump(2) + "\n");
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
