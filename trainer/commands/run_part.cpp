#include "trainer/commands/run_part.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "common/error.h"
#include "common/feature_store/manifest.h"
#include "common/io/file.h"
#include "common/io/json_integer.h"
#include "common/io/json_text.h"
#include "trainer/report/network_table_reader.h"
#include "trainer/report/run_checksums.h"

namespace last {
namespace {

namespace fs = std::filesystem;

bool all_digits(const std::string& text) {
  return text.find_first_not_of("0123456789") == std::string::npos;
}

// "NAME.00001-of-00004" for this NAME.
bool is_part_of(const std::string& file_name, const std::string& name) {
  constexpr size_t kSuffix = 15;
  if (file_name.size() != name.size() + kSuffix || file_name.rfind(name, 0) != 0) return false;
  const auto suffix = file_name.substr(name.size());
  return suffix[0] == '.' && suffix.substr(6, 4) == "-of-" && all_digits(suffix.substr(1, 5)) &&
         all_digits(suffix.substr(10, 5));
}

std::vector<std::string> parts_beside(const std::string& item) {
  fs::path path = item;
  if (!path.has_filename()) path = path.parent_path();  // "DIR/"
  const fs::path folder = path.has_parent_path() ? path.parent_path() : ".";
  std::vector<std::string> found;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(folder, code)) {
    if (is_part_of(entry.path().filename().string(), path.filename().string())) {
      found.push_back((path.has_parent_path() ? entry.path() : entry.path().filename()).string());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

nlohmann::json read_config(const std::string& path) {
  return parse_json(read_text_file(path), "\"" + path + "\"");
}

// What must be equal in all parts.
nlohmann::json common_config(const RunPart& part) {
  nlohmann::json config;
  for (const char* key : {"program", "options", "data", "features"}) {
    config[key] = part.config.value(key, nlohmann::json());
  }
  config["parts"] = part.part.count;
  return config;
}

void check_no_network_twice(const std::vector<RunPart>& parts) {
  std::map<int64_t, const RunPart*> owner;
  for (const auto& part : parts) {
    for (const auto& row : part.rows) {
      const auto [first, is_new] = owner.emplace(row.setting.index, &part);
      if (is_new) continue;
      fail("\"", first->second->directory, "\" and \"", part.directory, "\" both hold network ",
           row.setting.index);
    }
  }
}

}  // namespace

std::vector<std::string> expand_parts(const std::vector<std::string>& items) {
  std::vector<std::string> directories;
  for (const auto& item : items) {
    const auto parts = parts_beside(item);
    if (parts.empty()) {
      directories.push_back(item);
    } else {
      directories.insert(directories.end(), parts.begin(), parts.end());
    }
  }
  return directories;
}

RunPart read_run_part(const std::string& directory) {
  RunPart part;
  part.directory = directory;
  if (!fs::is_directory(directory)) {
    fail("--run \"", directory, "\": no such run directory, and no parts \"", directory,
         ".0000I-of-0000N\"");
  }
  if (!fs::exists(part.file("config.json"))) {
    fail("\"", directory, "\" holds no run (no config.json in it)");
  }
  check_run_tables(directory);
  part.config = read_config(part.file("config.json"));
  try {
    const auto& numbers = part.config.at("part");
    part.part = {json_integer(numbers.at("index")), json_integer(numbers.at("count"))};
    if (part.part.index < 0 || part.part.index >= part.part.count) {
      fail("\"", part.file("config.json"), "\" is damaged: part ", part.part.index, " of ",
           part.part.count);
    }
    for (const auto& target : part.config.at("data").at("targets")) {
      part.targets.push_back(target.at("name").get<std::string>());
    }
    const auto& options = part.config.at("options");
    const bool val = options.at("select").get<std::string>() == "val";
    part.select = val ? Selection::kVal : Selection::kLast;
    part.trains_after_search = options.at("retrain").get<std::string>() != "none";
    if (!fs::exists(part.file("networks.csv"))) {
      fail("\"", directory, "\" (part ", part.part.index, " of ", part.part.count,
           ") is not finished: run its command again to go on");
    }
    part.rows = read_network_table(part.file("networks.csv"), part.targets);
  } catch (const nlohmann::json::exception& error) {
    fail("\"", part.file("config.json"), "\" is damaged: ", error.what());
  }
  for (const auto& row : part.rows) {
    if (row.stage != "search") {
      fail("\"", directory, "\" is no part of a run: it has chosen and retrained already");
    }
  }
  return part;
}

std::vector<RunPart> check_parts(std::vector<RunPart> parts) {
  const auto& first = parts.front();
  for (const auto& part : parts) {
    const auto difference = first_difference(common_config(first), common_config(part),
                                             "in the first", "in the second");
    if (!difference.empty()) {
      fail("\"", first.directory, "\" and \"", part.directory,
           "\" are no parts of one run: ", difference);
    }
  }
  if (first.part.is_whole()) {
    fail("\"", first.directory, "\" is a whole run already: there is nothing to join");
  }
  const auto count = static_cast<size_t>(first.part.count);
  std::map<int64_t, const RunPart*> of_index;
  for (const auto& part : parts) {
    const auto [earlier, is_new] = of_index.emplace(part.part.index, &part);
    if (is_new) continue;
    fail("\"", earlier->second->directory, "\" and \"", part.directory, "\" both hold part ",
         part.part.index, " of ", count);
  }
  std::string missing;
  for (size_t i = 0; i < count && missing.size() < 200; ++i) {
    if (of_index.count(static_cast<int64_t>(i)) == 0) missing += concat(" ", i);
  }
  if (!missing.empty()) {
    fail(parts.size(), " of ", count, " parts are given; missing (they count from 0):", missing);
  }
  check_no_network_twice(parts);
  std::sort(parts.begin(), parts.end(),
            [](const RunPart& a, const RunPart& b) { return a.part.index < b.part.index; });
  return parts;
}

}  // namespace last
