#include "common/cli/task_array.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "common/error.h"

namespace last {
namespace {

class TaskArrayTest : public testing::Test {
 protected:
  void set(const char* name, const char* value) { setenv(name, value, 1); }
  void TearDown() override {
    for (const char* name : {"SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX",
                             "SLURM_ARRAY_TASK_COUNT", "OMPI_COMM_WORLD_RANK",
                             "OMPI_COMM_WORLD_SIZE", "RANK", "WORLD_SIZE"}) {
      unsetenv(name);
    }
  }
};

TEST_F(TaskArrayTest, ReadsPartOfWhole) {
  const auto part = parse_task_part("--shard", "3/8");
  EXPECT_EQ(part.index, 3);
  EXPECT_EQ(part.count, 8);
  for (const char* text : {"8/8", "-1/8", "0/0", "3", "a/b", "1/", ""}) {
    EXPECT_THROW(parse_task_part("--shard", text), UsageError) << text;
  }
}

TEST_F(TaskArrayTest, TheEnvironmentCountsOnlyWithAuto) {
  set("SLURM_ARRAY_TASK_ID", "7");
  EXPECT_EQ(parse_task_part("--shard", "0/1").index, 0);
}

TEST_F(TaskArrayTest, ASlurmArrayStartsAtItsMinimum) {
  set("SLURM_ARRAY_TASK_ID", "7");
  set("SLURM_ARRAY_TASK_MIN", "5");
  set("SLURM_ARRAY_TASK_MAX", "8");
  set("SLURM_ARRAY_TASK_COUNT", "4");
  const auto part = parse_task_part("--shard", "auto");
  EXPECT_EQ(part.index, 2);
  EXPECT_EQ(part.count, 4);
}

TEST_F(TaskArrayTest, ASteppedSlurmArrayIsRefused) {
  set("SLURM_ARRAY_TASK_ID", "4");
  set("SLURM_ARRAY_TASK_MIN", "0");
  set("SLURM_ARRAY_TASK_MAX", "6");
  set("SLURM_ARRAY_TASK_COUNT", "4");
  EXPECT_THROW(parse_task_part("--shard", "auto"), Error);
}

TEST_F(TaskArrayTest, ReadsOpenMpiAndTorchrun) {
  set("RANK", "1");
  set("WORLD_SIZE", "2");
  EXPECT_EQ(parse_task_part("--shard", "auto").index, 1);
  set("OMPI_COMM_WORLD_RANK", "2");
  set("OMPI_COMM_WORLD_SIZE", "3");
  EXPECT_EQ(parse_task_part("--shard", "auto").count, 3);
}

TEST_F(TaskArrayTest, AutoWithoutAnEnvironmentIsAnError) {
  EXPECT_THROW(parse_task_part("--shard", "auto"), Error);
}

}  // namespace
}  // namespace last
