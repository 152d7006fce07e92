#include "trainer/sweep/part.h"

#include <set>

#include <gtest/gtest.h>

#include "common/error.h"
#include "trainer/commands/run_options.h"
#include "trainer/commands/run_part.h"

namespace last {
namespace {

std::vector<Setting> example_grid() {
  SearchSpace space;
  space.ranks = {4, 8};
  space.seeds = {0, 1, 2};
  return make_grid(space, 2);
}

TEST(Part, PartsHoldEverySettingOnceUnderItsIndex) {
  const auto grid = example_grid();
  for (const int64_t count : {1, 5, 12}) {
    std::set<int64_t> indices;
    for (int64_t part = 0; part < count; ++part) {
      const auto settings = settings_of_part(grid, {part, count});
      EXPECT_LE(settings.size(),
                (grid.size() + static_cast<size_t>(count) - 1) / static_cast<size_t>(count));
      for (const auto& setting : settings) {
        EXPECT_TRUE(indices.insert(setting.index).second);
        EXPECT_TRUE(same_but_for_seed(setting, grid[static_cast<size_t>(setting.index)]));
      }
    }
    EXPECT_EQ(indices.size(), grid.size());
  }
  EXPECT_THROW(settings_of_part(grid, {0, 13}), UsageError);
}

TEST(Part, DirectoriesOfPartsAreNumberedAsShardsAre) {
  EXPECT_EQ(part_directory("runs/x", {1, 4}), "runs/x.00001-of-00004");
  EXPECT_EQ(part_directory("runs/x/", {1, 4}), "runs/x.00001-of-00004");
}

TEST(Part, AutoNumbersTheRunDirectoryAndGivenNumbersDoNot) {
  ::setenv("SLURM_ARRAY_TASK_ID", "12", 1);
  ::setenv("SLURM_ARRAY_TASK_MIN", "10", 1);
  ::setenv("SLURM_ARRAY_TASK_MAX", "13", 1);
  ::setenv("SLURM_ARRAY_TASK_COUNT", "4", 1);
  const auto automatic =
      *parse_run_options({"--train", "a.h5", "--run", "runs/x", "--part", "auto"});
  EXPECT_EQ(automatic.part.index, 2);
  EXPECT_EQ(automatic.part.count, 4);
  EXPECT_EQ(automatic.run, "runs/x.00002-of-00004");
  const auto given = *parse_run_options({"--train", "a.h5", "--run", "runs/x", "--part", "1/3"});
  EXPECT_EQ(given.part.index, 1);
  EXPECT_EQ(given.part.count, 3);
  EXPECT_EQ(given.run, "runs/x");
  for (const char* name : {"SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX",
                           "SLURM_ARRAY_TASK_COUNT"}) {
    ::unsetenv(name);
  }
  EXPECT_THROW(parse_run_options({"--train", "a.h5", "--run", "x", "--part", "3/3"}), UsageError);
  EXPECT_THROW(parse_run_options({"--train", "a.h5", "--run", "x", "--part", "auto"}), Error);
  EXPECT_TRUE(parse_run_options({"--train", "a.h5", "--run", "x"})->part.is_whole());
}

std::string usage_error_of(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--train", "a.h5", "--val", "b.h5", "--run", "x"});
  try {
    parse_run_options(arguments);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Part, WhatComparesAllNetworksIsNotDoneInParts) {
  const auto ensemble = usage_error_of({"--part", "0/2", "--ensemble", "3"});
  EXPECT_NE(ensemble.find("--ensemble"), std::string::npos) << ensemble;
  EXPECT_NE(ensemble.find("--part"), std::string::npos) << ensemble;
  EXPECT_NE(ensemble.find("in one run"), std::string::npos) << ensemble;
  const auto halving = usage_error_of({"--part", "0/2", "--search", "halving"});
  EXPECT_NE(halving.find("--search halving"), std::string::npos) << halving;
  EXPECT_EQ(usage_error_of({"--part", "0/2"}), "accepted");
  EXPECT_EQ(usage_error_of({"--part", "0/1", "--ensemble", "3"}), "accepted");
}

RunPart run_part(const std::string& directory, int64_t index, int64_t count, int64_t network) {
  RunPart part;
  part.directory = directory;
  part.config = {{"options", {{"rank", {4}}}}, {"data", {{"train", "x"}}}};
  part.part = {index, count};
  part.rows.resize(1);
  part.rows[0].setting.index = network;
  return part;
}

std::string refusal_of(std::vector<RunPart> parts) {
  try {
    check_parts(std::move(parts));
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Merge, TakesTheWholeSetOfPartsInAnyOrder) {
  const auto parts =
      check_parts({run_part("c", 2, 3, 2), run_part("a", 0, 3, 0), run_part("b", 1, 3, 1)});
  ASSERT_EQ(parts.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(parts[i].part.index, static_cast<int64_t>(i));
}

TEST(Merge, NamesWhatIsMissingOverlappingOrDifferent) {
  const auto missing = refusal_of({run_part("b", 1, 4, 1), run_part("d", 3, 4, 3)});
  EXPECT_NE(missing.find("2 of 4"), std::string::npos) << missing;
  EXPECT_NE(missing.find(" 0 2"), std::string::npos) << missing;
  const auto twice = refusal_of({run_part("a", 0, 2, 0), run_part("b", 0, 2, 1)});
  EXPECT_NE(twice.find("\"a\" and \"b\" both hold part 0 of 2"), std::string::npos) << twice;
  const auto network = refusal_of({run_part("a", 0, 2, 0), run_part("b", 1, 2, 0)});
  EXPECT_NE(network.find("both hold network 0"), std::string::npos) << network;
  const auto counts = refusal_of({run_part("a", 0, 2, 0), run_part("b", 1, 3, 1)});
  EXPECT_NE(counts.find("parts: 2 in the first, 3 in the second"), std::string::npos) << counts;
  auto other = run_part("b", 1, 2, 1);
  other.config["options"]["rank"] = {8};
  const auto differing = refusal_of({run_part("a", 0, 2, 0), other});
  EXPECT_NE(differing.find("options.rank"), std::string::npos) << differing;
}

}  // namespace
}  // namespace last
