#include "tests/common/feature_store/example_store.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <unistd.h>

#include <ATen/ops/empty.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include "common/error.h"
#include "common/io/file.h"

namespace last::testing {
namespace {

at::Tensor ramp(int64_t count, float start, float step) {
  at::Tensor values = at::empty({count});
  for (int64_t i = 0; i < count; ++i) {
    values.data_ptr<float>()[i] = start + step * static_cast<float>(i);
  }
  return values;
}

template <class Element>
void fill(std::vector<char>& bytes, int64_t row) {
  for (size_t i = 0; i < bytes.size() / sizeof(Element); ++i) {
    const int64_t step = (31 * row + 7 * static_cast<int64_t>(i)) % 201 - 100;
    const Element value(static_cast<float>(step) / 16);
    std::memcpy(bytes.data() + i * sizeof(Element), &value, sizeof(Element));
  }
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "last_store_XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) fail_errno("can't make a temporary folder");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Manifest example_manifest(int64_t rows, c10::ScalarType dtype) {
  Manifest manifest;
  manifest.rows = rows;
  manifest.total_rows = rows;
  manifest.dtype = dtype;
  BackboneInfo& backbone = manifest.backbone;
  backbone.name = "vit 4x6, 2 heads, patch 16, 32x32";
  backbone.weights_sha256 = std::string(64, 'a');
  backbone.depth = 4;
  backbone.dim = 6;
  backbone.tokens = 5;
  backbone.prefix_tokens = 1;
  backbone.has_cls_token = true;
  backbone.grid_height = 2;
  backbone.grid_width = 2;
  backbone.layers = {0, 2, 4};
  backbone.norm_weight = ramp(6, 1, 0.25f);
  backbone.norm_bias = ramp(6, -1, 0.5f);
  backbone.norm_eps = 1e-6;
  LabelColumn species{"species", {}, {"Äpfel", "Birnen", "Kirschen"}};
  LabelColumn label{"label", {}, {}};
  for (int64_t row = 0; row < rows; ++row) {
    manifest.sample_ids.push_back(concat("class ", row % 3, "/bild_ü_", row, ".jpg"));
    manifest.views.push_back(static_cast<int32_t>(row % 2));
    species.labels.push_back(static_cast<int32_t>(row % 4) - 1);
    label.labels.push_back(static_cast<int32_t>(row * 7 % 10));
  }
  // Not in the order of their names: the order of columns is kept.
  manifest.labels = {species, label};
  manifest.config = {{"features",
                      {{"layers", {0, 2, 4}},
                       {"preprocessing", {{"resize", {224, 224}}, {"mean", {0.5, 0.5, 0.5}}}},
                       {"weights_sha256", backbone.weights_sha256}}},
                     {"run", {{"batch_size", 4}, {"device", "cpu"}}}};
  manifest.image_list_sha256 = std::string(64, 'b');
  manifest.created_by = "extractor 0.1.0";
  return manifest;
}

std::vector<char> example_row(const Manifest& manifest, int64_t row) {
  std::vector<char> bytes(static_cast<size_t>(manifest.row_bytes()));
  switch (manifest.dtype) {
    case c10::ScalarType::Half:
      fill<c10::Half>(bytes, row);
      break;
    case c10::ScalarType::BFloat16:
      fill<c10::BFloat16>(bytes, row);
      break;
    default:
      fill<float>(bytes, row);
  }
  return bytes;
}

Sha256Digest example_digest(int64_t row) {
  const std::string text = "image " + std::to_string(row);
  return sha256(text.data(), text.size());
}

std::vector<uint8_t> example_thumbnail(const Manifest& manifest, int64_t row) {
  std::vector<uint8_t> bytes(static_cast<size_t>(manifest.thumbnail_bytes()));
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(17 * static_cast<size_t>(row) + i);
  }
  return bytes;
}

void write_example_row(FeatureStoreWriter& writer, int64_t row) {
  if (row == 3) {
    writer.write_bad_row(row, example_digest(row));
  } else {
    const std::vector<uint8_t> thumbnail = example_thumbnail(writer.manifest(), row);
    writer.write_row(row, example_row(writer.manifest(), row).data(), example_digest(row),
                     thumbnail.empty() ? nullptr : thumbnail.data());
  }
}

void write_example_rows(FeatureStoreWriter& writer, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) write_example_row(writer, row);
}

void write_example_store(const std::string& path, const Manifest& manifest) {
  FeatureStoreWriter writer(path, manifest);
  write_example_rows(writer, 0, manifest.rows);
  writer.finish();
}

std::string read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

void flip_byte(const std::string& path, uint64_t offset) {
  const File file = File::open_read_write(path);
  char byte = 0;
  file.read_at(&byte, 1, offset);
  byte = static_cast<char>(byte ^ 0x10);
  file.write_at(&byte, 1, offset);
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace last::testing
