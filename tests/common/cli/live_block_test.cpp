#include "common/cli/live_block.h"

#include <gtest/gtest.h>

namespace last {
namespace {

TEST(TerminalLine, CutsToCharactersNotBytes) {
  EXPECT_EQ(terminal_line("abcdef", 4), "abcd");
  EXPECT_EQ(terminal_line("abc", 4), "abc");
  EXPECT_EQ(terminal_line("\xc3\xa4\xc3\xb6\xc3\xbc!", 3), "\xc3\xa4\xc3\xb6\xc3\xbc");
  EXPECT_EQ(terminal_line("abc", 0), "");
}

TEST(TerminalLine, ShowsNoControlCharacters) {
  EXPECT_EQ(terminal_line("red\033[31m\r\n\x7f", 80), "red?[31m???");
}

TEST(LiveBlock, ThereIsNothingToTakeAwayWhereNothingWasDrawn) { EXPECT_EQ(take_live_block(), ""); }

}  // namespace
}  // namespace last
