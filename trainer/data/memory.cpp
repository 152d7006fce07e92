#include "trainer/data/memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace last {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

int64_t system_memory_available() {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("MemAvailable:", 0) == 0) return std::stoll(line.substr(13)) * 1024;
  }
  return kUnlimited;
}

std::optional<int64_t> number_in(const std::filesystem::path& path) {
  std::ifstream file(path);
  int64_t value = 0;
  if (!(file >> value)) return std::nullopt;  // "max" is no number
  return value;
}

// One version's files in the folder of a group.
struct GroupFiles {
  const char* limit;
  const char* usage;
  const char* active_cache;  // lines of memory.stat
  const char* inactive_cache;
};
constexpr GroupFiles kVersion1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                                  "total_active_file", "total_inactive_file"};
constexpr GroupFiles kVersion2 = {"memory.max", "memory.current", "active_file", "inactive_file"};

int64_t file_cache(const std::filesystem::path& group, const GroupFiles& files) {
  std::ifstream statistics(group / "memory.stat");
  int64_t bytes = 0;
  std::string name;
  for (int64_t value = 0; statistics >> name >> value;) {
    if (name == files.active_cache || name == files.inactive_cache) bytes += value;
  }
  return bytes;
}

int64_t left_in_group(const std::filesystem::path& group, const GroupFiles& files) {
  const auto limit = number_in(group / files.limit);
  const auto usage = number_in(group / files.usage);
  if (!limit || !usage) return kUnlimited;
  const int64_t used = std::max<int64_t>(0, *usage - file_cache(group, files));
  return std::max<int64_t>(0, *limit - used);
}

// Of the group at `path` below `mount` and of all above it. In a container the mount may show the
// group itself as its root, so that the path leads nowhere.
int64_t left_up_to_root(const std::filesystem::path& mount, std::filesystem::path path,
                        const GroupFiles& files) {
  int64_t left = left_in_group(mount, files);
  for (path = path.relative_path(); !path.empty(); path = path.parent_path()) {
    left = std::min(left, left_in_group(mount / path, files));
  }
  return left;
}

bool is_among(const std::string& controllers, const std::string& wanted) {
  return ("," + controllers + ",").find("," + wanted + ",") != std::string::npos;
}

}  // namespace

int64_t control_group_available(const std::filesystem::path& root) {
  const auto mount = root / "sys/fs/cgroup";
  int64_t left = kUnlimited;
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // ID:CONTROLLERS:PATH
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) left = std::min(left, left_up_to_root(mount, path, kVersion2));
    if (is_among(controllers, "memory")) {
      left = std::min(left, left_up_to_root(mount / "memory", path, kVersion1));
    }
  }
  return left;
}

int64_t available_memory() {
  return std::min(system_memory_available(), control_group_available());
}

}  // namespace last
