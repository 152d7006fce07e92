#include "common/tensor_file/safetensors.h"

#include <filesystem>
#include <string>
#include <unistd.h>

#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "common/io/file.h"
#include "tests/damage.h"

namespace last {
namespace {

class SafetensorsTest : public testing::Test {
 protected:
  SafetensorsTest()
      : folder_(std::filesystem::path(testing::TempDir()) /
                concat("safetensors_test.", ::getpid())) {
    std::filesystem::create_directories(folder_);
  }
  ~SafetensorsTest() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  // A file with this header and `data` zero bytes.
  std::string write(const std::string& header, size_t data, size_t length) const {
    std::string bytes;
    for (int i = 0; i < 8; ++i) bytes += static_cast<char>(length >> 8 * i);
    write_file_atomically(path("a.safetensors"), bytes + header + std::string(data, '\0'));
    return path("a.safetensors");
  }

  std::string error_of(const std::string& header, size_t data) const {
    try {
      SafetensorsFile file(write(header, data, header.size()));
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }

  std::filesystem::path folder_;
};

TEST_F(SafetensorsTest, AFailedRenameLeavesNoTemporaryFile) {
  std::filesystem::create_directories(path("a.safetensors/full"));
  EXPECT_THROW(write_safetensors(path("a.safetensors"), {{"x", at::ones({2})}}), Error);
  EXPECT_FALSE(std::filesystem::exists(path("a.safetensors.tmp")));
}

// The bytes that the safetensors package 0.8 writes for the same tensors and metadata. The checksum
// is that of the bit-by-bit definition (RFC 3720) in Python, over the file with zeros in its place.
TEST_F(SafetensorsTest, WritesTheBytesOfThePackage) {
  write_safetensors(path("a.safetensors"),
                    {{"b", at::ones({2}, c10::ScalarType::Byte)},
                     {"c", at::arange(2, c10::ScalarType::Float)},
                     {"a", at::ones({1}, c10::ScalarType::Byte)}},
                    {{"k", "v"}});
  const std::string header = R"({"__metadata__":{"crc32c":"00000000","k":"v"},)"
                             R"("c":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                             R"("a":{"dtype":"U8","shape":[1],"data_offsets":[8,9]},)"
                             R"("b":{"dtype":"U8","shape":[2],"data_offsets":[9,11]}})";
  const size_t padded = (header.size() + 7) / 8 * 8;
  std::string expected(8, '\0');
  expected[0] = static_cast<char>(padded);
  expected += header + std::string(padded - header.size(), ' ');
  expected += std::string("\0\0\0\0\0\0\x80\x3f\x01\x01\x01", 11);
  expected.replace(expected.find("00000000"), 8, "c8cf54c7");
  EXPECT_EQ(read_text_file(path("a.safetensors")), expected);
}

TEST_F(SafetensorsTest, TensorsOutliveTheFile) {
  write_safetensors(path("a.safetensors"), {{"x", at::arange(6, c10::ScalarType::Float)}});
  at::Tensor x;
  {
    const SafetensorsFile file(path("a.safetensors"));
    EXPECT_EQ(file.names(), std::vector<std::string>{"x"});
    EXPECT_EQ(file.shape("x"), std::vector<int64_t>{6});
    EXPECT_EQ(file.dtype("x"), c10::ScalarType::Float);
    x = file.tensor("x");
  }
  std::filesystem::remove(path("a.safetensors"));
  EXPECT_EQ(x[5].item<float>(), 5.0F);
}

TEST_F(SafetensorsTest, UnalignedTensorsAreCopied) {
  const std::string header = R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                             R"("x":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})";
  const SafetensorsFile file(write(header, 9, header.size()));
  EXPECT_EQ(file.tensor("x")[1].item<float>(), 0.0F);
}

TEST_F(SafetensorsTest, ChangingATensorLeavesTheFileAlone) {
  write_safetensors(path("a.safetensors"), {{"x", at::zeros({4}, c10::ScalarType::Float)}});
  SafetensorsFile(path("a.safetensors")).tensor("x").add_(1);
  EXPECT_EQ(SafetensorsFile(path("a.safetensors")).tensor("x")[0].item<float>(), 0.0F);
}

TEST_F(SafetensorsTest, ErrorsNameTensorExpectedAndFound) {
  const auto entry = [](const std::string& shape, const std::string& offsets) {
    return R"({"x":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  const auto expect = [&](const std::string& header, size_t data, const std::string& message) {
    const std::string found = error_of(header, data);
    EXPECT_NE(found.find(message), std::string::npos) << found;
    EXPECT_NE(found.find("a.safetensors"), std::string::npos) << found;
  };
  EXPECT_EQ(error_of(entry("[2]", "[0,8]"), 8), "accepted");
  expect(entry("[3]", "[0,8]"), 8, R"(tensor "x": 12 bytes expected for shape [3] of F32)");
  expect(entry("[2]", "[0,8]"), 4, "outside the file's 4 bytes of data");
  expect(entry("[2]", "[0,8]"), 12, "4 bytes after the last tensor");
  expect(entry("[4611686018427387904,8]", "[0,0]"), 0, "too large");
  expect(entry("[0,4611686018427387904,8]", "[0,0]"), 0, "too large");
  expect(entry("[-1]", "[0,8]"), 8, "shape holds something else");
  expect(entry("[2]", "[18446744073709551608,0]"), 8, "outside");
  expect("{", 0, "not valid JSON");
  expect("[]", 0, "doesn't start with {");
  expect(R"({"a":{"b":{"c":{"d":{"e":{}}}}}})", 0, "nested deeper");
}

TEST_F(SafetensorsTest, TheChecksumIsNoMetadata) {
  write_safetensors(path("a.safetensors"), {{"x", at::ones({2})}}, {{"a", "b"}});
  const SafetensorsFile file(path("a.safetensors"));
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"a", "b"}}));
  file.require_checksum();
  EXPECT_THROW(write_safetensors(path("b.safetensors"), {}, {{"crc32c", "00000000"}}), Error);
}

TEST_F(SafetensorsTest, DamageOfAFileOfOursIsFound) {
  const std::string file = path("a.safetensors");
  write_safetensors(
      file,
      {{"x", at::arange(40, c10::ScalarType::Float)}, {"y", at::ones({3}, c10::ScalarType::Byte)}},
      {{"format", "example"}});
  for_each_damage(
      read_text_file(file), 500, 50, [&](const std::string& bytes, const std::string& what) {
        overwrite(file, bytes);
        try {
          SafetensorsFile(file).require_checksum();
          ADD_FAILURE() << what;
        } catch (const Error& error) {
          EXPECT_NE(std::string(error.what()).find(file), std::string::npos) << error.what();
        }
      });
}

TEST_F(SafetensorsTest, FilesOfOthersNeedNoChecksum) {
  const std::string header = R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  const SafetensorsFile file(write(header, 8, header.size()));
  EXPECT_EQ(file.shape("x"), std::vector<int64_t>{2});
  EXPECT_THROW(file.require_checksum(), Error);
}

TEST_F(SafetensorsTest, NothingIsLeftOfAFileThatCantBeWritten) {
  EXPECT_THROW(write_safetensors(path("none/a.safetensors"), {{"x", at::zeros({1})}}), Error);
  EXPECT_THROW(write_safetensors(path("a.safetensors"), {{"x", at::Tensor()}}), Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

}  // namespace
}  // namespace last
