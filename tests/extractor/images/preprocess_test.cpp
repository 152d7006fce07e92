#include "extractor/images/preprocess.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/error.h"
#include "extractor/images/decode.h"
#include "extractor/images/image_file.h"

namespace last {
namespace {

const std::string kFolder = std::string(LAST_SOURCE_DIR) + "/tests/extractor/images/references/";

cv::Mat picture() { return decode_image(read_image_file(kFolder + "rgb.png")); }

std::vector<uint8_t> bytes_of(const cv::Mat& image) { return {image.datastart, image.dataend}; }

struct ResizeCase {
  const char* file;  // made by PIL; see tests/interop/make_images.py
  const char* resize;
  const char* crop;
  const char* interpolation;
};

class ResizeTest : public testing::TestWithParam<ResizeCase> {};

TEST_P(ResizeTest, EqualsPil) {
  Preprocessing preprocessing;
  parse_resize(GetParam().resize, &preprocessing);
  parse_crop(GetParam().crop, &preprocessing);
  preprocessing.interpolation = parse_interpolation(GetParam().interpolation);
  const cv::Mat image = resize_and_crop(picture(), preprocessing);
  ASSERT_EQ(image.cols, preprocessing.width);
  ASSERT_EQ(image.rows, preprocessing.height);
  EXPECT_EQ(bytes_of(image), read_image_file(kFolder + GetParam().file));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, ResizeTest,
    testing::Values(ResizeCase{"bicubic_16.raw", "16", "none", "bicubic"},
                    ResizeCase{"bilinear_16.raw", "16", "none", "bilinear"},
                    ResizeCase{"bicubic_50x20.raw", "50x20", "none", "bicubic"},
                    ResizeCase{"bicubic_37x10.raw", "37x10", "none", "bicubic"},
                    ResizeCase{"bicubic_10x23.raw", "10x23", "none", "bicubic"},
                    ResizeCase{"crop_18_16.raw", "16", "center:18", "bicubic"},
                    ResizeCase{"crop_30_27x29.raw", "27x29", "center:30", "bilinear"}),
    [](const auto& test) {
      const std::string name = test.param.file;
      return name.substr(0, name.find('.'));
    });

TEST(Resize, RegionEqualsTheWholeCut) {
  const cv::Mat image = picture();
  for (const int height : {5, 23, 40}) {
    const cv::Mat whole = resize_image(image, 30, height, Interpolation::kBicubic);
    const cv::Rect region(7, 2, 11, 3);
    const cv::Mat part = resize_region(image, 30, height, region, Interpolation::kBicubic);
    EXPECT_EQ(bytes_of(part), bytes_of(whole(region).clone()));
  }
}

// A strip whose resized picture would take gigabytes.
TEST(Resize, NarrowImagesCostNoMemory) {
  const cv::Mat strip(60000, 1, CV_8UC3, cv::Scalar(1, 2, 3));
  Preprocessing preprocessing;
  preprocessing.crop = 256;
  const cv::Mat image = resize_and_crop(strip, preprocessing);
  EXPECT_EQ(image.at<cv::Vec3b>(100, 100), cv::Vec3b(1, 2, 3));
}

TEST(Normalise, IsToTensorThenNormalize) {
  const cv::Mat image(1, 2, CV_8UC3, cv::Scalar(0, 128, 255));
  Preprocessing preprocessing;
  preprocessing.mean = {0.485F, 0.456F, 0.406F};
  preprocessing.std = {0.229F, 0.224F, 0.225F};
  std::vector<float> out(6);
  normalise(image, preprocessing, out.data());
  // torchvision 0.26
  EXPECT_EQ(out, (std::vector<float>{-2.11790395F, -2.11790395F, 0.205182195F, 0.205182195F,
                                     2.6400001F, 2.6400001F}));
}

TEST(Preprocessing, RefusesWhatCannotBeMeant) {
  Preprocessing preprocessing;
  for (const char* text : {"", "0", "-3", "224x", "x224", "22.5", "224x224x3", "99999999"}) {
    EXPECT_THROW(parse_resize(text, &preprocessing), UsageError) << text;
  }
  for (const char* text : {"", "256", "center", "center:", "center:0", "corner:3"}) {
    EXPECT_THROW(parse_crop(text, &preprocessing), UsageError) << text;
  }
  EXPECT_THROW(parse_interpolation("nearest"), UsageError);
  preprocessing.crop = 200;
  EXPECT_THROW(preprocessing.validate(), UsageError);
  preprocessing.crop = 224;
  EXPECT_NO_THROW(preprocessing.validate());
}

TEST(Round, IsPythons) {
  EXPECT_EQ(round_half_even(0.5), 0);
  EXPECT_EQ(round_half_even(1.5), 2);
  EXPECT_EQ(round_half_even(2.5), 2);
  EXPECT_EQ(round_half_even(2.51), 3);
  EXPECT_EQ(round_half_even(-0.5), 0);
}

}  // namespace
}  // namespace last
