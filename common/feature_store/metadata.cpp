#include "common/feature_store/metadata.h"

#include <algorithm>

#include <ATen/ops/empty.h>

#include "common/feature_store/layout.h"
#include "common/io/json_text.h"

namespace last {
namespace {

using hdf5::Shape;

Shape features_shape(const Manifest& manifest) {
  return {static_cast<hsize_t>(manifest.rows), static_cast<hsize_t>(manifest.layers()),
          static_cast<hsize_t>(manifest.backbone.tokens),
          static_cast<hsize_t>(manifest.backbone.dim)};
}

Shape statistics_shape(const Manifest& manifest) {
  return {static_cast<hsize_t>(manifest.layers()), static_cast<hsize_t>(manifest.backbone.dim)};
}

void write_root(hid_t file, const Manifest& manifest, uint64_t features_offset) {
  // Paths in a configuration need not be UTF-8; JSON must be.
  const std::string config =
      manifest.config.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  hdf5::write_attribute(file, "/", layout::kFormat, std::string(layout::kFormatName));
  hdf5::write_attribute(file, "/", layout::kVersion, int64_t{layout::kFormatVersion});
  hdf5::write_attribute(file, "/", layout::kCreatedBy, manifest.created_by);
  hdf5::write_attribute(file, "/", layout::kDtype, dtype_name(manifest.dtype));
  hdf5::write_attribute(file, "/", layout::kConfig, config);
  hdf5::write_attribute(file, "/", layout::kConfigHash, manifest.config_hash());
  hdf5::write_attribute(file, "/", layout::kImageListHash, manifest.image_list_sha256);
  hdf5::write_attribute(file, "/", layout::kShardIndex, manifest.shard_index);
  hdf5::write_attribute(file, "/", layout::kShardCount, manifest.shard_count);
  hdf5::write_attribute(file, "/", layout::kFirstRow, manifest.first_row);
  hdf5::write_attribute(file, "/", layout::kTotalRows, manifest.total_rows);
  hdf5::write_attribute(file, "/", layout::kFeaturesOffset, static_cast<int64_t>(features_offset));
}

void write_labels(hid_t file, const Manifest& manifest) {
  hdf5::create_group(file, layout::kLabels);
  hdf5::create_group(file, layout::kClasses);
  nlohmann::json columns = nlohmann::json::array();
  for (const LabelColumn& column : manifest.labels) {
    columns.push_back(column.name);
    hdf5::write_array(file, concat(layout::kLabels, "/", column.name), H5T_STD_I32LE,
                      {column.labels.size()}, column.labels.data());
    if (column.classes.empty()) continue;
    hdf5::write_strings(file, concat(layout::kClasses, "/", column.name), column.classes);
  }
  hdf5::write_attribute(file, layout::kLabels, layout::kColumns, columns.dump());
}

void write_backbone(hid_t file, const BackboneInfo& backbone) {
  hdf5::create_group(file, layout::kBackbone);
  const auto dim = static_cast<hsize_t>(backbone.dim);
  hdf5::write_array(file, layout::kNormWeight, H5T_IEEE_F32LE, {dim},
                    backbone.norm_weight.data_ptr());
  hdf5::write_array(file, layout::kNormBias, H5T_IEEE_F32LE, {dim}, backbone.norm_bias.data_ptr());
  hdf5::write_array(file, layout::kLayers, H5T_STD_I64LE, {backbone.layers.size()},
                    backbone.layers.data());
  const std::string group = layout::kBackbone;
  hdf5::write_attribute(file, group, "name", backbone.name);
  hdf5::write_attribute(file, group, "weights_sha256", backbone.weights_sha256);
  hdf5::write_attribute(file, group, "depth", backbone.depth);
  hdf5::write_attribute(file, group, "prefix_tokens", backbone.prefix_tokens);
  hdf5::write_attribute(file, group, "has_cls_token", int64_t{backbone.has_cls_token});
  hdf5::write_attribute(file, group, "grid_height", backbone.grid_height);
  hdf5::write_attribute(file, group, "grid_width", backbone.grid_width);
  hdf5::write_attribute(file, group, "norm_eps", backbone.norm_eps);
}

nlohmann::json parse_json_attribute(hid_t file, const std::string& object, const char* name) {
  const std::string text = hdf5::read_text_attribute(file, object, name);
  nlohmann::json value = parse_json(text);
  if (value.is_discarded()) {
    fail("\"", hdf5::file_name_of(file), "\": attribute \"", name, "\" of \"", object,
         "\" is not JSON");
  }
  return value;
}

std::vector<LabelColumn> read_labels(hid_t file, hsize_t rows) {
  const nlohmann::json names = parse_json_attribute(file, layout::kLabels, layout::kColumns);
  std::vector<LabelColumn> columns;
  for (const nlohmann::json& name : names) {
    if (!name.is_string()) {
      fail("\"", hdf5::file_name_of(file), "\": a label column's name is ", name.dump());
    }
    LabelColumn column{name.get<std::string>(), std::vector<int32_t>(rows), {}};
    hdf5::read_array(file, concat(layout::kLabels, "/", column.name), H5T_STD_I32LE, {rows},
                     column.labels.data());
    const std::string classes = concat(layout::kClasses, "/", column.name);
    if (hdf5::exists(file, classes)) column.classes = hdf5::read_strings(file, classes, {});
    columns.push_back(std::move(column));
  }
  return columns;
}

BackboneInfo read_backbone(hid_t file, const Shape& features) {
  const std::string group = layout::kBackbone;
  BackboneInfo backbone;
  backbone.layers.resize(features[1]);
  backbone.tokens = static_cast<int64_t>(features[2]);
  backbone.dim = static_cast<int64_t>(features[3]);
  backbone.norm_weight = at::empty({backbone.dim});
  backbone.norm_bias = at::empty({backbone.dim});
  hdf5::read_array(file, layout::kNormWeight, H5T_IEEE_F32LE, {features[3]},
                   backbone.norm_weight.data_ptr());
  hdf5::read_array(file, layout::kNormBias, H5T_IEEE_F32LE, {features[3]},
                   backbone.norm_bias.data_ptr());
  hdf5::read_array(file, layout::kLayers, H5T_STD_I64LE, {features[1]}, backbone.layers.data());
  backbone.name = hdf5::read_text_attribute(file, group, "name");
  backbone.weights_sha256 = hdf5::read_text_attribute(file, group, "weights_sha256");
  backbone.depth = hdf5::read_integer_attribute(file, group, "depth");
  backbone.prefix_tokens = hdf5::read_integer_attribute(file, group, "prefix_tokens");
  backbone.has_cls_token = hdf5::read_integer_attribute(file, group, "has_cls_token") != 0;
  backbone.grid_height = hdf5::read_integer_attribute(file, group, "grid_height");
  backbone.grid_width = hdf5::read_integer_attribute(file, group, "grid_width");
  backbone.norm_eps = hdf5::read_real_attribute(file, group, "norm_eps");
  return backbone;
}

void check_format(hid_t file) {
  const std::string path = hdf5::file_name_of(file);
  if (H5Aexists(file, layout::kFormat) <= 0 ||
      hdf5::read_text_attribute(file, "/", layout::kFormat) != layout::kFormatName) {
    fail("\"", path, "\" is an HDF5 file, but not a feature store");
  }
  const int64_t version = hdf5::read_integer_attribute(file, "/", layout::kVersion);
  if (version != layout::kFormatVersion) {
    fail("\"", path, "\" has format version ", version, ", this program reads version ",
         layout::kFormatVersion, ": extract it again, or use the program that made it");
  }
}

Shape thumbnails_shape(hsize_t rows, int64_t size) {
  return {rows, static_cast<hsize_t>(size), static_cast<hsize_t>(size), 3};
}

// S of /thumbnails [R, S, S, 3], 0 where there is none.
int64_t read_thumbnail_size(hid_t file, hsize_t rows) {
  if (!hdf5::exists(file, layout::kThumbnails)) return 0;
  const hdf5::Dataset thumbnails = hdf5::open_dataset(file, layout::kThumbnails);
  const Shape shape = hdf5::shape_of(thumbnails);
  const hdf5::Datatype type(H5Dget_type(thumbnails.get()));
  if (shape.size() != 4 || shape[1] < 1 || shape[1] > layout::kLargestThumbnail ||
      shape != thumbnails_shape(rows, static_cast<int64_t>(shape[1])) ||
      H5Tequal(type.get(), H5T_STD_U8LE) <= 0) {
    fail("\"", hdf5::file_name_of(file), "\": /thumbnails should be uint8 [", rows,
         ", S, S, 3] with S from 1 to ", layout::kLargestThumbnail);
  }
  return static_cast<int64_t>(shape[1]);
}

std::vector<Extent> in_order(std::vector<Extent> extents) {
  std::erase_if(extents, [](const Extent& extent) { return extent.size == 0; });
  std::ranges::sort(extents, {}, &Extent::offset);
  return extents;
}

// The shape of /features, small enough for every size that is computed from it.
Shape read_features_shape(hid_t file, c10::ScalarType dtype) {
  const hdf5::Dataset features = hdf5::open_dataset(file, layout::kFeatures);
  Shape shape = hdf5::shape_of(features);
  const auto plausible = [](hsize_t extent) { return extent > 0 && extent < (hsize_t{1} << 40); };
  if (shape.size() != 4 || !std::ranges::all_of(shape, plausible)) {
    fail("\"", hdf5::file_name_of(file), "\": /features should be [rows, layers, tokens, dim]");
  }
  const hdf5::Datatype type(H5Dget_type(features.get()));
  if (H5Tequal(type.get(), hdf5::element_type(dtype).get()) <= 0) {
    fail("\"", hdf5::file_name_of(file), "\": /features is not of type ", dtype_name(dtype),
         ", which its attribute \"", layout::kDtype, "\" names");
  }
  return shape;
}

}  // namespace

std::vector<Extent> StoreExtents::all() const {
  return in_order({features, row_state, row_crc32c, row_check, image_digest, mean, std, thumbnails,
                   thumbnail_crc32c});
}

std::vector<Extent> StoreExtents::rows() const { return in_order({features, thumbnails}); }

StoreExtents create_hdf5_file(const std::string& path, const Manifest& manifest) {
  const auto rows = static_cast<hsize_t>(manifest.rows);
  hdf5::FileHandle handle = hdf5::create_file(
      path, rows * static_cast<uint64_t>(manifest.row_bytes()), layout::kFeaturesAlignment);
  const hid_t file = handle.get();
  StoreExtents extents;
  extents.row_state = hdf5::create_array(file, layout::kRowState, H5T_STD_U8LE, {rows});
  extents.row_crc32c = hdf5::create_array(file, layout::kRowCrc, H5T_STD_U32LE, {rows});
  extents.row_check = hdf5::create_array(file, layout::kRowCheck, H5T_STD_U32LE, {rows});
  extents.image_digest =
      hdf5::create_array(file, layout::kImageDigest, H5T_STD_U8LE, {rows, layout::kDigestBytes});
  hdf5::write_strings(file, layout::kSampleId, manifest.sample_ids);
  hdf5::write_array(file, layout::kView, H5T_STD_I32LE, {rows}, manifest.views.data());
  write_labels(file, manifest);
  write_backbone(file, manifest.backbone);
  hdf5::create_group(file, layout::kStatistics);
  extents.mean =
      hdf5::create_array(file, layout::kMean, H5T_IEEE_F32LE, statistics_shape(manifest));
  extents.std = hdf5::create_array(file, layout::kStd, H5T_IEEE_F32LE, statistics_shape(manifest));
  if (manifest.thumbnail_size > 0) {
    extents.thumbnails = hdf5::create_array(file, layout::kThumbnails, H5T_STD_U8LE,
                                            thumbnails_shape(rows, manifest.thumbnail_size));
    extents.thumbnail_crc32c =
        hdf5::create_array(file, layout::kThumbnailCrc, H5T_STD_U32LE, {rows});
  }
  extents.features = hdf5::create_array(
      file, layout::kFeatures, hdf5::element_type(manifest.dtype).get(), features_shape(manifest));
  if (extents.features.offset % layout::kFeaturesAlignment != 0) {
    fail("HDF5 put the features of \"", path, "\" at ", extents.features.offset,
         ", which is no multiple of ", layout::kFeaturesAlignment);
  }
  write_root(file, manifest, extents.features.offset);
  handle.close(concat("finish \"", path, "\""));
  return extents;
}

Manifest read_manifest(hid_t file) {
  check_format(file);
  const std::string path = hdf5::file_name_of(file);
  Manifest manifest;
  manifest.dtype =
      parse_dtype(hdf5::read_text_attribute(file, "/", layout::kDtype), "\"" + path + "\"");
  const Shape shape = read_features_shape(file, manifest.dtype);
  const hsize_t rows = shape[0];
  manifest.rows = static_cast<int64_t>(rows);
  manifest.sample_ids = hdf5::read_strings(file, layout::kSampleId, rows);
  manifest.views.resize(rows);
  hdf5::read_array(file, layout::kView, H5T_STD_I32LE, {rows}, manifest.views.data());
  manifest.backbone = read_backbone(file, shape);
  manifest.labels = read_labels(file, rows);
  manifest.thumbnail_size = read_thumbnail_size(file, rows);
  manifest.config = parse_json_attribute(file, "/", layout::kConfig);
  manifest.image_list_sha256 = hdf5::read_text_attribute(file, "/", layout::kImageListHash);
  manifest.created_by = hdf5::read_text_attribute(file, "/", layout::kCreatedBy);
  manifest.shard_index = hdf5::read_integer_attribute(file, "/", layout::kShardIndex);
  manifest.shard_count = hdf5::read_integer_attribute(file, "/", layout::kShardCount);
  manifest.first_row = hdf5::read_integer_attribute(file, "/", layout::kFirstRow);
  manifest.total_rows = hdf5::read_integer_attribute(file, "/", layout::kTotalRows);
  check_manifest(manifest, "\"" + path + "\"");
  if (hdf5::read_text_attribute(file, "/", layout::kConfigHash) != manifest.config_hash()) {
    fail("\"", path, "\": its config_hash is not that of its configuration");
  }
  return manifest;
}

StoreExtents read_extents(hid_t file, const Manifest& manifest) {
  const auto rows = static_cast<uint64_t>(manifest.rows);
  const auto channels = static_cast<uint64_t>(manifest.layers() * manifest.backbone.dim);
  const auto find = [&](const char* name, uint64_t size) {
    const auto extent = hdf5::contiguous_extent(hdf5::open_dataset(file, name));
    if (!extent || extent->size != size) {
      fail("\"", hdf5::file_name_of(file), "\": ", name, " is not one block of ", size, " bytes");
    }
    return *extent;
  };
  const bool pictures = manifest.thumbnail_size > 0;
  const auto picture_bytes = static_cast<uint64_t>(manifest.thumbnail_bytes());
  return {find(layout::kFeatures, rows * static_cast<uint64_t>(manifest.row_bytes())),
          find(layout::kRowState, rows),
          find(layout::kRowCrc, rows * sizeof(uint32_t)),
          find(layout::kRowCheck, rows * sizeof(uint32_t)),
          find(layout::kImageDigest, rows * layout::kDigestBytes),
          find(layout::kMean, channels * sizeof(float)),
          find(layout::kStd, channels * sizeof(float)),
          pictures ? find(layout::kThumbnails, rows * picture_bytes) : Extent{},
          pictures ? find(layout::kThumbnailCrc, rows * sizeof(uint32_t)) : Extent{}};
}

bool is_repacked(hid_t file) {
  const auto extent = hdf5::contiguous_extent(hdf5::open_dataset(file, layout::kFeatures));
  const int64_t recorded = hdf5::read_integer_attribute(file, "/", layout::kFeaturesOffset);
  return !extent || extent->offset != static_cast<uint64_t>(recorded);
}

}  // namespace last
