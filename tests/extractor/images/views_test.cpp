#include "extractor/images/views.h"

#include <string>

#include <gtest/gtest.h>

#include "common/error.h"
#include "extractor/images/decode.h"
#include "extractor/images/image_file.h"

namespace last {
namespace {

const std::string kFolder = std::string(LAST_SOURCE_DIR) + "/tests/extractor/images/references/";

bool equal(const cv::Mat& a, const cv::Mat& b) {
  return a.size() == b.size() && std::equal(a.datastart, a.dataend, b.datastart, b.dataend);
}

class ViewsTest : public testing::Test {
 protected:
  ViewsTest() {
    preprocessing_.width = preprocessing_.height = 16;
    views_.count = 50;
    views_.augmentation = Augmentation::kRandomResizedCropFlip;
  }
  cv::Mat view(int index, const std::string& id = "a.jpg") const {
    return make_view(image_, preprocessing_, views_, id, index);
  }

  cv::Mat image_ = decode_image(read_image_file(kFolder + "rgb.png"));
  Preprocessing preprocessing_;
  Views views_;
};

TEST_F(ViewsTest, FirstViewIsThePlainImage) {
  EXPECT_TRUE(equal(view(0), resize_and_crop(image_, preprocessing_)));
}

TEST_F(ViewsTest, DependOnSeedIdAndViewAlone) {
  const cv::Mat first = view(1);
  EXPECT_TRUE(equal(first, view(1)));
  EXPECT_FALSE(equal(first, view(2)));
  EXPECT_FALSE(equal(first, view(1, "b.jpg")));
  views_.seed = 1;
  EXPECT_FALSE(equal(first, view(1)));
}

TEST_F(ViewsTest, FlipMirrorsAboutHalfOfThem) {
  views_.augmentation = Augmentation::kFlip;
  const cv::Mat plain = view(0);
  cv::Mat mirrored;
  cv::flip(plain, mirrored, 1);
  int flips = 0;
  for (int i = 1; i <= 1000; ++i) {
    const cv::Mat image = view(i);
    const bool flip = equal(image, mirrored);
    EXPECT_TRUE(flip || equal(image, plain));
    flips += flip ? 1 : 0;
  }
  EXPECT_NEAR(flips, 500, 80);  // five standard deviations
}

TEST_F(ViewsTest, NarrowImagesFallBackToTheCentre) {
  image_ = cv::Mat(300, 1, CV_8UC3, cv::Scalar(9, 9, 9));
  EXPECT_EQ(view(1).at<cv::Vec3b>(3, 3), cv::Vec3b(9, 9, 9));
  image_ = cv::Mat(1, 300, CV_8UC3, cv::Scalar(9, 9, 9));
  EXPECT_EQ(view(1).at<cv::Vec3b>(3, 3), cv::Vec3b(9, 9, 9));
}

TEST(Views, RefuseWhatCannotBeMeant) {
  EXPECT_THROW(parse_augmentation("mixup"), UsageError);
  EXPECT_THROW((Views{2, Augmentation::kNone, 0}.validate()), UsageError);
  EXPECT_THROW((Views{1, Augmentation::kFlip, 0}.validate()), UsageError);
  EXPECT_THROW((Views{0, Augmentation::kNone, 0}.validate()), UsageError);
  EXPECT_NO_THROW((Views{2, Augmentation::kFlip, 0}.validate()));
}

}  // namespace
}  // namespace last
