#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "common/feature_store/manifest.h"
#include "common/feature_store/reader.h"
#include "common/feature_store/writer.h"

// Small stores whose content a formula gives; tests/interop/test_feature_store.py repeats it.
namespace last::testing {

// A folder that is removed at the end of the test.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

// 3 layers (0, 2, 4) of 5 tokens (cls and 2x2 patches) of 6 channels; two label columns.
Manifest example_manifest(int64_t rows, c10::ScalarType dtype = c10::ScalarType::Half);

// Element e of row r: ((31 r + 7 e) mod 201 - 100) / 16, exact in every type.
std::vector<char> example_row(const Manifest& manifest, int64_t row);
Sha256Digest example_digest(int64_t row);
// Byte i of row r: (17 r + i) mod 256. As many as the manifest's thumbnails have.
std::vector<uint8_t> example_thumbnail(const Manifest& manifest, int64_t row);

void write_example_row(FeatureStoreWriter& writer, int64_t row);

// Row 3, where there is one, is a bad image.
void write_example_rows(FeatureStoreWriter& writer, int64_t begin, int64_t end);
void write_example_store(const std::string& path, const Manifest& manifest);

std::string read_bytes(const std::string& path);
void write_bytes(const std::string& path, const std::string& bytes);
void flip_byte(const std::string& path, uint64_t offset);

// What the Error of `action` says; empty where it throws none.
std::string error_of(const std::function<void()>& action);

}  // namespace last::testing
