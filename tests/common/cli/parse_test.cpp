#include "common/cli/parse.h"

#include <gtest/gtest.h>

#include "common/error.h"

namespace last {
namespace {

TEST(Parse, Lists) {
  EXPECT_EQ(parse_list("--x", "a,b"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(parse_integers("--x", "4,-8"), (std::vector<int64_t>{4, -8}));
  EXPECT_EQ(parse_numbers("--x", "1e-3,.5"), (std::vector<double>{1e-3, 0.5}));
  for (const char* text : {"", ",", "a,", ",a", "a,,b"}) {
    EXPECT_THROW(parse_list("--x", text), UsageError) << text;
  }
}

TEST(Parse, Numbers) {
  for (const char* text : {"", "4x", " 4", "4.5", "99999999999999999999", "0x", "four"}) {
    EXPECT_THROW(parse_integer("--x", text), UsageError) << text;
  }
  for (const char* text : {"", "1e", "inf", "nan", "1e999", "1,5", " 1"}) {
    EXPECT_THROW(parse_number("--x", text), UsageError) << text;
  }
}

TEST(Parse, Sizes) {
  EXPECT_EQ(parse_size("--x", "4096"), 4096);
  EXPECT_EQ(parse_size("--x", "512M"), int64_t{512} << 20);
  EXPECT_EQ(parse_size("--x", "1.5GiB"), int64_t{3} << 29);
  EXPECT_EQ(parse_size("--x", "8gB"), int64_t{8} << 30);
  for (const char* text : {"", "M", "5 M", "5X", "-1M", "9999999T"}) {
    EXPECT_THROW(parse_size("--x", text), UsageError) << text;
  }
  EXPECT_EQ(format_size(512), "512 bytes");
  EXPECT_EQ(format_size(3.5 * 1024 * 1024 * 1024), "3.5 GiB");
}

TEST(Parse, Durations) {
  EXPECT_EQ(parse_duration("--x", "90"), 90);
  EXPECT_EQ(parse_duration("--x", "90s"), 90);
  EXPECT_EQ(parse_duration("--x", "1.5h"), 5400);
  EXPECT_EQ(parse_duration("--x", "2d"), 172800);
  EXPECT_EQ(parse_duration("--x", "1:30:00"), 5400);
  EXPECT_EQ(parse_duration("--x", "1:30"), 5400);
  EXPECT_EQ(parse_duration("--x", "3652d"), 3652 * 86400);
  for (const char* text :
       {"", "h", "0", "-5", "5 h", "1:2:3:4", "1:x", "3653d", "200000d", "1e300", "1e308d"}) {
    EXPECT_THROW(parse_duration("--x", text), UsageError) << text;
  }
  EXPECT_EQ(format_duration(4.25), "4.2 s");
  EXPECT_EQ(format_duration(61), "61 s");
  EXPECT_EQ(format_duration(754), "12 min 34 s");
  EXPECT_EQ(format_duration(7300), "2 h 02 min");
}

TEST(Parse, OnOff) {
  EXPECT_TRUE(parse_on_off("--x", "on"));
  EXPECT_FALSE(parse_on_off("--x", "off"));
  EXPECT_THROW(parse_on_off("--x", "true"), UsageError);
}

TEST(Nearest, FindsTypos) {
  EXPECT_EQ(nearest("learning-rte", {"rank", "learning-rate"}), "learning-rate");
  EXPECT_EQ(nearest("rnak", {"rank", "rate"}), "rank");
  EXPECT_EQ(nearest("zzz", {"rank", "learning-rate"}), "");
}

}  // namespace
}  // namespace last
