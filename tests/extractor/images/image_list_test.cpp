#include "extractor/images/image_list.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

#include "common/error.h"

namespace last {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<std::string>;
using Labels = std::vector<int32_t>;

class ImageListTest : public testing::Test {
 protected:
  ImageListTest() {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~ImageListTest() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) const {
    const fs::path path = fs::path(folder_) / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }
  std::string error_of(const std::string& name, const std::string& text) const {
    const std::string path = write(name, text);
    try {
      read_image_list(path);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  std::string folder_ =
      (fs::temp_directory_path() / ("last_image_list_" + std::to_string(getpid()))).string();
};

#define EXPECT_CONTAINS(text, part) \
  EXPECT_NE((text).find(part), std::string::npos) << "message: " << (text)

TEST_F(ImageListTest, PlainList) {
  const ImageList list = read_image_list(write(
      "list.txt", "\xef\xbb\xbf# a comment\r\n\r\nb/x y.jpg 3\r\na.jpg 0\n/abs/c.jpg\nd.jpg 12"));
  EXPECT_EQ(list.ids, (Ids{"b/x y.jpg", "a.jpg", "/abs/c.jpg", "d.jpg"}));
  EXPECT_EQ(list.paths,
            (Ids{folder_ + "/b/x y.jpg", folder_ + "/a.jpg", "/abs/c.jpg", folder_ + "/d.jpg"}));
  ASSERT_EQ(list.labels.size(), 1U);
  EXPECT_EQ(list.labels[0].name, "label");
  EXPECT_EQ(list.labels[0].labels, (Labels{3, 0, -1, 12}));
  EXPECT_TRUE(list.labels[0].classes.empty());
}

TEST_F(ImageListTest, HashIsThatOfTheFile) {
  // printf 'a.jpg 0\n' | sha256sum
  EXPECT_EQ(read_image_list(write("list.txt", "a.jpg 0\n")).sha256,
            "178cc592a0399f9afab5aaabb0f59cddedd2e601ead87b0696ef9999ff39b320");
}

TEST_F(ImageListTest, NamesAreSortedByBytes) {
  const ImageList list =
      read_image_list(write("list.txt", "a cat\nb Zebra\nc \xc3\xa4\nd cat\ne\n"));
  EXPECT_EQ(list.labels[0].classes, (Ids{"Zebra", "cat", "\xc3\xa4"}));
  EXPECT_EQ(list.labels[0].labels, (Labels{1, 0, 2, 1, -1}));
}

TEST_F(ImageListTest, UnlabelledPathWithSpaces) {
  write("my photo.jpg", "x");
  const ImageList list = read_image_list(write("list.txt", "my photo.jpg\nother photo.jpg 7\n"));
  EXPECT_EQ(list.ids, (Ids{"my photo.jpg", "other photo.jpg"}));
  EXPECT_EQ(list.labels[0].labels, (Labels{-1, 7}));
}

TEST_F(ImageListTest, Csv) {
  const ImageList list = read_image_list(
      write("list.CSV",
            "path,species,\"left, "
            "eye\"\r\n\"a,\"\"b\"\".jpg\",cat,1\r\n\"two\nlines\",,0\r\nc,dog,\r\n"));
  EXPECT_EQ(list.ids, (Ids{"a,\"b\".jpg", "two\nlines", "c"}));
  ASSERT_EQ(list.labels.size(), 2U);
  EXPECT_EQ(list.labels[0].name, "species");
  EXPECT_EQ(list.labels[0].classes, (Ids{"cat", "dog"}));
  EXPECT_EQ(list.labels[0].labels, (Labels{0, -1, 1}));
  EXPECT_EQ(list.labels[1].name, "left, eye");
  EXPECT_EQ(list.labels[1].labels, (Labels{1, 0, -1}));
}

TEST_F(ImageListTest, Folder) {
  write("data/dog/b.JPG", "");
  write("data/dog/deep/c.png", "");
  write("data/cat/a.jpeg", "");
  write("data/cat.d/a.webp", "");
  write("data/7/notes.txt", "");
  write("data/top.bmp", "");
  const ImageList list = read_image_list(folder_ + "/data");
  EXPECT_EQ(list.ids,
            (Ids{"cat.d/a.webp", "cat/a.jpeg", "dog/b.JPG", "dog/deep/c.png", "top.bmp"}));
  EXPECT_EQ(list.labels[0].classes, (Ids{"cat", "cat.d", "dog"}));
  EXPECT_EQ(list.labels[0].labels, (Labels{1, 0, 2, 2, -1}));
  EXPECT_EQ(list.paths[1], folder_ + "/data/cat/a.jpeg");
  EXPECT_EQ(list.sha256, read_image_list(folder_ + "/data/").sha256);
}

TEST_F(ImageListTest, FoldersCalledByNumbersAreNames) {
  write("data/10/a.png", "");
  write("data/9/a.png", "");
  const ImageList list = read_image_list(folder_ + "/data");
  EXPECT_EQ(list.labels[0].classes, (Ids{"10", "9"}));
}

TEST_F(ImageListTest, ErrorsNameTheLine) {
  EXPECT_CONTAINS(error_of("a.txt", "a 1\nb -1\n"), "a.txt:2: column label holds class indices");
  EXPECT_CONTAINS(error_of("a.txt", "a 1\nb 0.5\n"), "a.txt:2: column label holds fractions (0.5)");
  EXPECT_CONTAINS(error_of("a.txt", "a 1\nb 2\n# \na 3\n"), "a.txt:4: \"a\" is in the list twice");
  EXPECT_CONTAINS(error_of("a.txt", "a 1\nb 2\n# \na 3\n"), "first in line 1");
  EXPECT_CONTAINS(error_of("a.txt", "a 99999999999999999999\n"), "a.txt:1: ");
  EXPECT_CONTAINS(error_of("a.txt", "# nothing\n\n"), "no images in it");
  EXPECT_CONTAINS(error_of("a.txt", std::string("a\0b 1\n", 6)), "a zero byte");
  EXPECT_CONTAINS(error_of("a.txt", std::string("a x\nb y\0\n", 9)), "a.txt:2: a zero byte");
  EXPECT_CONTAINS(error_of("a.txt", "a x\nb V\xf6gel\n"),
                  "a.txt:2: a class name that is not UTF-8");
  EXPECT_CONTAINS(error_of("a.csv", "path,gr\xf6sse\na,1\n"), "a.csv:1: the name of column 2");
  EXPECT_CONTAINS(error_of("a.csv", ""), "the file is empty");
  EXPECT_CONTAINS(error_of("a.csv", "path,x\n"), "no images in it");
  EXPECT_CONTAINS(error_of("a.csv", "file,x\na,1\n"), "a.csv:1: the header must be path");
  EXPECT_CONTAINS(error_of("a.csv", "path,x,x\na,1,1\n"), "two columns are called \"x\"");
  EXPECT_CONTAINS(error_of("a.csv", "path,a/b\na,1\n"), "can't be called \"a/b\"");
  EXPECT_CONTAINS(error_of("a.csv", "path,x\n\"a\nb\",1\nc\n"),
                  "a.csv:4: 1 field, the header has 2");
  EXPECT_CONTAINS(error_of("a.csv", "path,x\nb,1\n\"a,1\n"), "a.csv:3: a quoted field begins");
  EXPECT_CONTAINS(error_of("a.csv", "path,x\n\"a\"b,1\n"), "a.csv:2: text after the closing quote");
  EXPECT_CONTAINS(error_of("a.csv", "path,x\na\"b,1\n"), "a.csv:2: a quote inside");
  EXPECT_CONTAINS(error_of("a.csv", "path,x\na,1\nb,-3\n"),
                  "a.csv:3: column x holds class indices");
  EXPECT_THROW(read_image_list(folder_ + "/absent.txt"), Error);
  fs::create_directories(folder_ + "/empty");
  EXPECT_THROW(read_image_list(folder_ + "/empty"), Error);
}

}  // namespace
}  // namespace last
