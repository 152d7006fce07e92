#include "trainer/data/memory.h"

#include <filesystem>
#include <fstream>
#include <limits>

#include <gtest/gtest.h>

#include "tests/common/feature_store/example_store.h"

namespace last {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

// A system's files in a folder of their own.
class ControlGroups : public ::testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) const {
    const std::filesystem::path full = folder_ / path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }
  // The limit and the usage of a group of version 2.
  void write_group(const std::string& path, const std::string& max,
                   const std::string& current) const {
    write("sys/fs/cgroup/" + path + "memory.max", max + "\n");
    write("sys/fs/cgroup/" + path + "memory.current", current + "\n");
  }
  int64_t available() const { return control_group_available(folder_ / ""); }

 private:
  testing::TemporaryFolder folder_;
};

TEST_F(ControlGroups, NoneIsNoLimit) {
  EXPECT_EQ(available(), kUnlimited);
  write("proc/self/cgroup", "0::/user.slice\nnonsense\n");
  EXPECT_EQ(available(), kUnlimited);
}

TEST_F(ControlGroups, TheTightestOfAllAboveCounts) {
  write("proc/self/cgroup", "0::/slurm/job_7/step_0\n");
  write_group("slurm/job_7/", "1000", "400");
  write_group("slurm/job_7/step_0/", "max", "300");
  EXPECT_EQ(available(), 600);
  write_group("slurm/", "900", "880");
  EXPECT_EQ(available(), 20);
}

TEST_F(ControlGroups, PagesThatCacheFilesAreLeft) {
  write("proc/self/cgroup", "0::/\n");
  write_group("", "1000", "990");
  write("sys/fs/cgroup/memory.stat", "anon 90\nfile 900\nactive_file 300\ninactive_file 500\n");
  EXPECT_EQ(available(), 810);
  write("sys/fs/cgroup/memory.current", "1200\n");
  write("sys/fs/cgroup/memory.stat", "active_file 0\n");
  EXPECT_EQ(available(), 0);
}

TEST_F(ControlGroups, VersionOneHasAMountOfItsOwn) {
  write("proc/self/cgroup", "9:name=systemd:/\n6:cpuset,memory:/docker/ab\n0::/\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1500\n");
  write("sys/fs/cgroup/memory/memory.stat",
        "active_file 7\ntotal_active_file 100\n"
        "total_inactive_file 200\n");
  EXPECT_EQ(available(), 800);
  write("sys/fs/cgroup/memory/docker/ab/memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/fs/cgroup/memory/docker/ab/memory.usage_in_bytes", "10\n");
  EXPECT_EQ(available(), 800);
}

}  // namespace
}  // namespace last
