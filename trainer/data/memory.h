#pragma once

#include <cstdint>
#include <filesystem>

namespace last {

// Bytes this process may still take: what the system says is available, or what is left of the
// memory limits of its control group and those above it, whichever is less.
int64_t available_memory();

// The latter alone; the largest number where there is no limit. Pages that only cache files count
// as left. Control groups of version 1 and 2 below ROOT/sys/fs/cgroup, this process's by
// ROOT/proc/self/cgroup (cgroups(7)).
int64_t control_group_available(const std::filesystem::path& root = "/");

}  // namespace last
