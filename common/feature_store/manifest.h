#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <c10/core/ScalarType.h>
#include <nlohmann/json.hpp>

#include "common/backbone_info.h"

namespace last {

constexpr int32_t kUnlabelled = -1;
constexpr int64_t kThumbnailSize = 64;  // of the pictures that the extractor keeps
// More classes than this are a mistake (ids in place of labels), not a data set.
constexpr int64_t kMaxClassIndex = 10'000'000;

// One column of labels over the rows of a store.
struct LabelColumn {
  std::string name;
  std::vector<int32_t> labels;       // [rows], kUnlabelled where the cell was empty
  std::vector<std::string> classes;  // names by index; empty: the labels are bare indices
};

enum class RowState : uint8_t { kAbsent = 0, kStored = 1, kBadImage = 2 };

// Everything a store says about itself, features and row states aside. See FORMAT.md.
struct Manifest {
  int64_t rows = 0;
  c10::ScalarType dtype = c10::ScalarType::Half;  // Half, BFloat16 or Float
  BackboneInfo backbone;                          // gives layers, tokens, dim
  std::vector<std::string> sample_ids;            // [rows], the path as the list gives it
  std::vector<int32_t> views;                     // [rows], 0 = the plain image
  std::vector<LabelColumn> labels;
  // The resolved configuration: {"features": {what changes the features}, "run": {the rest}}. Holds
  // nothing that differs between two runs of one command, such as times.
  nlohmann::json config;
  int64_t thumbnail_size = 0;  // S: each row has a picture of S x S pixels; 0: none has
  std::string image_list_sha256;
  std::string created_by;  // "extractor 0.1.0"
  int64_t shard_index = 0;
  int64_t shard_count = 1;
  int64_t first_row = 0;   // of the shard, in the rows of all shards
  int64_t total_rows = 0;  // of all shards; of a single file its rows

  int64_t layers() const { return static_cast<int64_t>(backbone.layers.size()); }
  // Bytes of one row: layers * tokens * dim elements.
  int64_t row_bytes() const;
  // Bytes of one thumbnail: S * S RGB pixels.
  int64_t thumbnail_bytes() const { return thumbnail_size * thumbnail_size * 3; }
  // SHA-256 over the canonical dump of config["features"], hexadecimal.
  std::string config_hash() const;
};

// "fp16" | "bf16" | "fp32"; anything else is an Error that names `context`.
c10::ScalarType parse_dtype(const std::string& name, const std::string& context);
std::string dtype_name(c10::ScalarType dtype);

// An Error that begins with `place` where sizes, labels, layers or the backbone contradict each
// other, or where a row or the whole store exceeds 2^63 bytes.
void check_manifest(const Manifest& manifest, const std::string& place);

// The first leaf in which two configurations differ, as `preprocessing.resize: [224,224] in the
// store, [256,256] now`; empty where they are equal. The labels are what is said behind the values.
std::string first_difference(const nlohmann::json& a, const nlohmann::json& b,
                             const std::string& label_a, const std::string& label_b);

// The first difference that keeps a run from going on with a store, in the same words; empty where
// there is none. Of config["run"] only batch_size (it changes the features' last bits) and
// max_pixels (it decides which images are bad) count.
std::string first_difference(const Manifest& stored, const Manifest& now);

// The first difference that keeps a row of one store from standing in for a row of another that
// shows the same image in the same view; empty where there is none. Unlike feature_difference(),
// views, batch size and program count: the rows have to be equal to the last bit, which they are on
// the same kind of device.
std::string row_difference(const Manifest& a, const Manifest& b, const std::string& label_a,
                           const std::string& label_b);

// The kinds of device of both in the same words, where config["run"] tells two: rows may then
// differ in their last bits. Empty where they are the same.
std::string device_difference(const Manifest& a, const Manifest& b, const std::string& label_a,
                              const std::string& label_b);

// The first difference that keeps features of one store from standing in for those of another;
// empty where one network can be trained on the first and used on the second. Images, labels, views
// and config["run"] don't count.
std::string feature_difference(const Manifest& a, const Manifest& b,
                               const std::string& label_a = "in the first store",
                               const std::string& label_b = "in the second");

// A summary: sizes, types, labels with their class counts, configuration, hashes, shard.
nlohmann::json to_json(const Manifest& manifest);

// X/N.h5 -> X/N.00001-of-00004.h5 (index from 0); with one shard the path itself.
std::string shard_path(const std::string& path, int64_t index, int64_t count);

}  // namespace last
