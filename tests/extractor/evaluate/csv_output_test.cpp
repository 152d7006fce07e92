#include "extractor/evaluate/csv_output.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "tests/common/feature_store/example_store.h"

namespace last {
namespace {

namespace fs = std::filesystem;

TEST(CsvOutput, HasItsNameOnlyWhenItIsPublished) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "summary.csv";
  CsvOutput output(path);
  output.write("a,b\n");
  output.finish();
  EXPECT_FALSE(fs::exists(path));
  EXPECT_EQ(testing::read_bytes(path + ".partial"), "a,b\n");
  output.publish();
  EXPECT_EQ(testing::read_bytes(path), "a,b\n");
  EXPECT_FALSE(fs::exists(path + ".partial"));
}

TEST(CsvOutput, LeavesNothingOfWhatWasNotPublished) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "summary.csv";
  {
    CsvOutput output(path);
    output.write("a,b\n");
    output.finish();
  }
  EXPECT_FALSE(fs::exists(path));
  EXPECT_FALSE(fs::exists(path + ".partial"));
}

TEST(CsvOutput, WritesMoreThanItKeepsInMemory) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "predictions.csv";
  std::string expected;
  CsvOutput output(path);
  for (int line = 0; line < 30000; ++line) {
    const std::string text = std::to_string(line) + std::string(80, 'x') + "\n";
    output.write(text);
    expected += text;
    if (line == 15000) {
      EXPECT_GT(fs::file_size(path + ".partial"), 1000000u);
    }
  }
  output.write(std::string(size_t{3} << 20, 'y'));
  expected += std::string(size_t{3} << 20, 'y');
  output.write("end\n");
  expected += "end\n";
  output.finish();
  output.publish();
  EXPECT_TRUE(testing::read_bytes(path) == expected);
}

}  // namespace
}  // namespace last
