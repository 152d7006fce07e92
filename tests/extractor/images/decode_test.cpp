#include "extractor/images/decode.h"

#include <cstdlib>
#include <fstream>
#include <new>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <opencv2/imgcodecs.hpp>

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

std::vector<uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

// The bytes of the one row of a picture.
std::vector<int> row_of(const std::string& file) {
  const cv::Mat image = decode_image(bytes_of(file));
  return {image.datastart, image.dataend};
}

std::string big_endian(const std::vector<int>& values) {
  std::string text;
  for (const int value : values) {
    text += {static_cast<char>(value >> 8), static_cast<char>(value & 255)};
  }
  return text;
}

// The numbers of PIL, and of gray above 8 bits those of its mode I >> 8.
TEST(Decode, PnmIsScaledByItsMaxval) {
  const std::vector<int> colors = {0, 119, 255};
  const std::vector<int> grays = {0, 0, 0, 119, 119, 119, 255, 255, 255};
  const std::vector<int> deep_grays = {0, 0, 0, 127, 127, 127, 255, 255, 255};
  EXPECT_EQ(row_of(std::string("P5 3 1 15\n\0\7\x1f", 13)), grays);
  EXPECT_EQ(row_of("P2 3 1 15\n0 7 15"), grays);
  EXPECT_EQ(row_of(std::string("P6 1 1\n15\n\0\7\xf", 13)), colors);
  EXPECT_EQ(row_of("P3 # a comment\n1 1 15 0 #0\n7 15\n"), colors);
  EXPECT_EQ(row_of("P5 3 1 1023\n" + big_endian({0, 511, 1023})), deep_grays);
  EXPECT_EQ(row_of("P2 3 1 1023\n0 511 1023"), deep_grays);
  EXPECT_EQ(row_of("P6 1 1 1023\n" + big_endian({0, 479, 1023})), colors);
  EXPECT_EQ(row_of("P6 1 1 65535\n" + big_endian({0, 1000, 65535})), (std::vector{0, 4, 255}));
  EXPECT_EQ(row_of("P5 1 1 65535\n" + big_endian({1000})), (std::vector{3, 3, 3}));
  EXPECT_EQ(row_of("P4 2 1\n\x40"), (std::vector{255, 255, 255, 0, 0, 0}));
  EXPECT_EQ(row_of("P1 2 1\n01"), (std::vector{255, 255, 255, 0, 0, 0}));
}

TEST(Decode, BrokenPnmIsBad) {
  for (const char* header : {"P5 3 2 255\n", "P6 1 2 15\n", "P4 24 2\n"}) {
    EXPECT_EQ(reason_of(bytes_of(header + std::string(6, 'a'))), "no error") << header;
    EXPECT_EQ(reason_of(bytes_of(header + std::string(5, 'a'))), "the file is truncated") << header;
  }
  EXPECT_EQ(reason_of(bytes_of("P5 3 1 256\n" + std::string(5, '\0'))), "the file is truncated");
  EXPECT_EQ(reason_of(bytes_of("P6 1 1 256\n" + std::string(5, '\0'))), "the file is truncated");
  EXPECT_EQ(reason_of(bytes_of("P2 2 1 255\n10  ")), "the file is truncated");
  EXPECT_EQ(reason_of(bytes_of("P5 1 1 0\na")), "broken PNM: maxval 0, 1..65535 expected");
  EXPECT_EQ(reason_of(bytes_of("P2 1 1 65536\n1")), "broken PNM: maxval 65536, 1..65535 expected");
  EXPECT_EQ(reason_of(bytes_of("P2 1 1 15\n16")), "broken PNM: a sample of 16, its maxval is 15");
  EXPECT_EQ(reason_of(bytes_of("P2 1 1 15\n-1")), "broken PNM: a sample is no number");
  EXPECT_EQ(reason_of(bytes_of("P2 1 1 15\n00000000015")),
            "broken PNM: a sample of more than 10 digits");
  EXPECT_EQ(reason_of(bytes_of("P5 1 1 255aa")), "broken PNM: no white space behind its header");
  EXPECT_EQ(reason_of(bytes_of("P6 99999999999999999999 1 255\na"), UINT64_MAX),
            "a PNM of 4294967296x1 pixels");
  EXPECT_EQ(reason_of(bytes_of("P6 2000000000 2000000000 255\na"), UINT64_MAX),
            "the file is truncated");
}

// Ends the process: 0 where decoding ends in bad_alloc while there are only `megabytes` more than
// the process has.
[[noreturn]] void decode_with_memory(const std::vector<uint8_t>& bytes, rlim_t megabytes) {
  std::ifstream statm("/proc/self/statm");
  rlim_t pages = 0;
  statm >> pages;
  const rlim_t most = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (megabytes << 20);
  const rlimit limit{most, most};
  if (setrlimit(RLIMIT_AS, &limit) != 0) std::_Exit(1);
  try {
    decode_image(bytes, uint64_t{1} << 40);
  } catch (const std::bad_alloc&) {
    std::_Exit(0);
  } catch (const BadImage&) {
    std::_Exit(2);
  }
  std::_Exit(3);
}

std::vector<uint8_t> encoded(const cv::Mat& image, const char* ending,
                             const std::vector<int>& options = {}) {
  std::vector<uint8_t> bytes;
  cv::imencode(ending, image, bytes, options);
  return bytes;
}

// A PNG whose header says that it is as wide as that.
std::vector<uint8_t> png_of_width(uint32_t width) {
  std::vector<uint8_t> bytes = encoded(cv::Mat::zeros(1, 1, CV_8UC3), ".png");
  for (size_t i = 0; i < 4; ++i) bytes.at(16 + i) = static_cast<uint8_t>(width >> (24 - 8 * i));
  uint32_t crc = ~0U;
  for (size_t i = 12; i < 29; ++i) {  // type and content of the chunk
    crc ^= bytes.at(i);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320U : 0U);
  }
  for (size_t i = 0; i < 4; ++i) bytes.at(29 + i) = static_cast<uint8_t>(~crc >> (24 - 8 * i));
  return bytes;
}

// It would end in the store as an image that can't be used.
TEST(Decode, LackOfMemoryIsNoBadImage) {
  if (std::getenv("ASAN_OPTIONS") != nullptr || std::getenv("TSAN_OPTIONS") != nullptr) {
    GTEST_SKIP() << "sanitizers end the process instead";
  }
  const cv::Mat square = cv::Mat::zeros(6000, 6000, CV_8UC3);
  const auto progressive = encoded(square, ".jpg", {cv::IMWRITE_JPEG_PROGRESSIVE, 1});
  const auto bmp = encoded(square, ".bmp");
  const auto png = png_of_width(50'000'000);
  const auto expect_exit = [](const std::vector<uint8_t>& bytes, rlim_t megabytes) {
    ASSERT_FALSE(bytes.empty());
    EXPECT_EXIT(decode_with_memory(bytes, megabytes), testing::ExitedWithCode(0), "");
  };
  expect_exit(progressive, 20);   // nothing for the pixels (108 MB),
  expect_exit(progressive, 150);  // nothing for libjpeg's coefficients (216 MB)
  expect_exit(png, 20);
  expect_exit(png, 200);  // nothing for libpng's row (150 MB)
  expect_exit(bmp, 20);
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
