#include "trainer/data/memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
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

int64_t number_in(const char* path) {
  std::ifstream file(path);
  int64_t value = 0;
  return file >> value ? value : -1;  // "max" is no number
}

int64_t control_group_available() {
  const int64_t limit = number_in("/sys/fs/cgroup/memory.max");
  const int64_t used = number_in("/sys/fs/cgroup/memory.current");
  return limit < 0 || used < 0 ? kUnlimited : std::max<int64_t>(0, limit - used);
}

}  // namespace

int64_t available_memory() {
  return std::min(system_memory_available(), control_group_available());
}

}  // namespace last
