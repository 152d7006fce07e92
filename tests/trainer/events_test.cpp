#include "trainer/report/tensorboard/events.h"

#include <gtest/gtest.h>

#include "trainer/report/tensorboard/protobuf.h"

namespace last {
namespace {

std::string bytes(std::initializer_list<int> values) {
  std::string text;
  for (const int value : values) text += static_cast<char>(value);
  return text;
}

// The examples of https://protobuf.dev/programming-guides/encoding.
TEST(Protobuf, EncodesTheExamplesOfItsGuide) {
  EXPECT_EQ(ProtobufMessage().add_varint(1, 150).bytes(), bytes({0x08, 0x96, 0x01}));
  EXPECT_EQ(ProtobufMessage().add_bytes(2, "testing").bytes(), bytes({0x12, 0x07}) + "testing");
  EXPECT_EQ(ProtobufMessage().add_message(3, ProtobufMessage().add_varint(1, 150)).bytes(),
            bytes({0x1a, 0x03, 0x08, 0x96, 0x01}));
}

// What tensorboard.summary.writer.record_writer writes for Event(wall_time=1.5,
// file_version="brain.Event:2").
TEST(Events, TheFirstRecordIsTensorboards) {
  const auto expected =
      bytes({0x18, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xa3, 0x7f, 0x4b, 0x22, 0x09, 0x00,
             0x00, 0x00, 0x00, 0x00, 0x00, 0xf8, 0x3f, 0x1a, 0x0d, 0x62, 0x72, 0x61, 0x69, 0x6e,
             0x2e, 0x45, 0x76, 0x65, 0x6e, 0x74, 0x3a, 0x32, 0x2a, 0x28, 0x64, 0x6c});
  EXPECT_EQ(version_record(1.5), expected);
}

}  // namespace
}  // namespace last
