#include "common/cli/program.h"

#include <algorithm>
#include <iostream>

#include <gtest/gtest.h>

#include "common/cli/log.h"
#include "common/error.h"

namespace last {
namespace {

int run(const std::vector<std::string>& arguments,
        const std::function<int(const std::vector<std::string>&)>& work) {
  std::vector<std::string> texts = {"program"};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (auto& text : texts) pointers.push_back(text.data());
  return run_program("program", "does things", {{"work", "works", work}},
                     static_cast<int>(pointers.size()), pointers.data());
}

int throwing(const std::function<void()>& function) {
  testing::internal::CaptureStderr();
  const int status = run({"work"}, [&](const auto&) {
    function();
    return 0;
  });
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.rfind("program: ", 0), 0u) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
  return status;
}

TEST(RunProgram, TurnsExceptionsIntoExitStatuses) {
  EXPECT_EQ(throwing([] { fail("broken"); }), 1);
  EXPECT_EQ(throwing([] { throw std::bad_alloc(); }), 1);
  EXPECT_EQ(throwing([] { throw std::runtime_error("other"); }), 1);
  EXPECT_EQ(throwing([] { fail_usage("no"); }), 2);
  EXPECT_EQ(throwing([] { throw Interrupted("stopped"); }), 4);
}

TEST(RunProgram, SaysThatItWasInterruptedEvenWhenQuiet) {
  set_quiet(true);
  EXPECT_EQ(throwing([] { throw Interrupted("stopped"); }), 4);
  set_quiet(false);
}

TEST(RunProgram, FailsWhereItsOutputIsLost) {
  const auto lose_output = [] { std::cout.setstate(std::ios::badbit); };
  EXPECT_EQ(throwing(lose_output), 1);
  testing::internal::CaptureStderr();
  EXPECT_EQ(run({"--help"}, [](const auto&) { return 0; }), 1);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "program: error: can't write to standard output\n");
  std::cout.clear();
}

TEST(RunProgram, PassesArgumentsAndTheStatus) {
  const int status = run({"work", "--a", "b"}, [](const std::vector<std::string>& arguments) {
    EXPECT_EQ(arguments, (std::vector<std::string>{"--a", "b"}));
    return 3;
  });
  EXPECT_EQ(status, 3);
}

TEST(RunProgram, NamesTheNearestCommand) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(run({"wrok"}, [](const auto&) { return 0; }), 2);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("did you mean work"), std::string::npos);
  testing::internal::CaptureStderr();
  EXPECT_EQ(run({}, [](const auto&) { return 0; }), 2);
  testing::internal::GetCapturedStderr();
}

TEST(RunProgram, ShowsHelpAndVersion) {
  for (const char* option : {"--help", "--version"}) {
    testing::internal::CaptureStdout();
    EXPECT_EQ(run({option}, [](const auto&) { return 9; }), 0);
    EXPECT_NE(testing::internal::GetCapturedStdout().find("program"), std::string::npos);
  }
}

}  // namespace
}  // namespace last
