#include "extractor/images/decode.h"

#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "extractor/images/bad_image.h"
#include "extractor/images/image_file.h"
#include "extractor/images/image_header.h"

namespace last {
namespace {

const std::string kFolder = std::string(LAST_SOURCE_DIR) + "/tests/extractor/images/references/";

std::vector<uint8_t> reference(const std::string& name) { return read_image_file(kFolder + name); }

std::string reason_of(const std::vector<uint8_t>& bytes, uint64_t max_pixels = kDefaultMaxPixels) {
  try {
    decode_image(bytes, max_pixels);
  } catch (const BadImage& error) {
    return error.what();
  }
  return "no error";
}

// references/NAME.rgb are the bytes of PIL's convert("RGB"); see tests/interop/make_images.py.
class DecodeTest : public testing::TestWithParam<const char*> {};

TEST_P(DecodeTest, EqualsPil) {
  const cv::Mat image = decode_image(reference(GetParam()));
  ASSERT_EQ(image.type(), CV_8UC3);
  ASSERT_EQ(image.cols, 37);
  ASSERT_EQ(image.rows, 23);
  ASSERT_TRUE(image.isContinuous());
  const std::vector<uint8_t> expected = reference(std::string(GetParam()) + ".rgb");
  ASSERT_EQ(expected.size(), 3 * image.total());
  EXPECT_EQ(std::vector<uint8_t>(image.datastart, image.dataend), expected);
}

INSTANTIATE_TEST_SUITE_P(Formats, DecodeTest,
                         testing::Values("color.jpg", "gray.jpg", "cmyk.jpg", "progressive.jpg",
                                         "rotated.jpg", "rgb.png", "palette.png", "rgba.png",
                                         "gray.png", "gray16.png", "rgb16.png", "rgb.bmp",
                                         "rgb.tiff", "rgb.webp"),
                         [](const auto& test) {
                           std::string name = test.param;
                           name[name.find('.')] = '_';
                           return name;
                         });

TEST(Decode, TruncatedFilesAreBad) {
  for (const char* name : {"color.jpg", "progressive.jpg", "cmyk.jpg", "rgb.png", "palette.png",
                           "rgb.bmp", "rgb.tiff", "rgb.webp"}) {
    std::vector<uint8_t> bytes = reference(name);
    bytes.resize(bytes.size() / 2);
    EXPECT_NE(reason_of(bytes), "no error") << name;
  }
}

// PIL loads these: every row is there.
TEST(Decode, JpegWithBytesBehindItsEndIsFine) {
  std::vector<uint8_t> bytes = reference("color.jpg");
  bytes.insert(bytes.end(), 100, 0x5a);
  EXPECT_EQ(reason_of(bytes), "no error");
}

TEST(Decode, ReasonsNameTheTrouble) {
  const auto contains = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  };
  std::vector<uint8_t> bytes = reference("color.jpg");
  EXPECT_PRED2(contains, reason_of(bytes, 37 * 23 - 1), "37x23 pixels");
  EXPECT_EQ(reason_of(bytes, 37 * 23), "no error");
  bytes.resize(bytes.size() / 2);
  EXPECT_PRED2(contains, reason_of(bytes), "truncated");
  EXPECT_PRED2(contains, reason_of({'h', 'e', 'l', 'l', 'o'}), "not an image of a known format");
  EXPECT_PRED2(contains, reason_of({'G', 'I', 'F', '8', '9', 'a'}), "GIF isn't supported");
  EXPECT_THROW(read_image_file(kFolder + "absent.jpg"), BadImage);
  EXPECT_THROW(read_image_file(kFolder), BadImage);
}

TEST(ImageHeader, KnowsSizesWithoutDecoding) {
  for (const char* name : {"rgb.png", "rgb.bmp", "rgb.tiff", "rgb.webp"}) {
    const std::vector<uint8_t> bytes = reference(name);
    EXPECT_EQ(read_image_header(bytes).width, 37U) << name;
    EXPECT_EQ(read_image_header(bytes).height, 23U) << name;
    EXPECT_NE(reason_of(bytes, 37 * 23 - 1), "no error") << name;
  }
}

std::vector<uint8_t> tiff_of(const std::vector<std::vector<uint32_t>>& entries) {
  std::vector<uint8_t> bytes = {'I', 'I', '*', 0, 8, 0, 0, 0};
  const auto add = [&](uint32_t value, int size) {
    for (int i = 0; i < size; ++i) bytes.push_back(static_cast<uint8_t>(value >> 8 * i));
  };
  add(static_cast<uint32_t>(entries.size()), 2);
  for (const auto& entry : entries) {  // tag, type, count, value
    add(entry[0], 2);
    add(entry[1], 2);
    add(entry[2], 4);
    add(entry[3], 4);
  }
  add(0, 4);
  return bytes;
}

// libtiff takes the first of two equal tags, and a LONG8 (16) from where the entry's value points.
TEST(ImageHeader, HidesNoSizeOfATiff) {
  const std::vector<uint32_t> width = {256, 3, 1, 40}, height = {257, 4, 1, 30};
  EXPECT_EQ(read_image_header(tiff_of({width, height})).width, 40U);
  EXPECT_EQ(read_image_header(tiff_of({width, height})).height, 30U);
  for (const auto& entries :
       std::vector<std::vector<std::vector<uint32_t>>>{{{256, 3, 1, 60000}, height, width},
                                                       {width, {257, 4, 1, 60000}, height},
                                                       {width, {257, 16, 1, 8}},
                                                       {{256, 3, 2, 8}, height},
                                                       {width}}) {
    EXPECT_EQ(reason_of(tiff_of(entries)), "its header gives no size");
  }
}

// Every prefix of every file ends in an answer, without reading beyond its end.
TEST(ImageHeader, SurvivesEveryPrefix) {
  for (const char* name : {"color.jpg", "rgb.png", "rgb.bmp", "rgb.tiff", "rgb.webp"}) {
    const std::vector<uint8_t> bytes = reference(name);
    for (size_t size = 0; size < bytes.size(); ++size) {
      const std::vector<uint8_t> prefix(bytes.begin(), bytes.begin() + static_cast<long>(size));
      read_image_header(prefix);
    }
  }
}

}  // namespace
}  // namespace last
