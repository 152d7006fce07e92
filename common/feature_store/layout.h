#pragma once

// Names inside a store. See FORMAT.md, whose numbers the comments give.

namespace last::layout {

constexpr int kFormatVersion = 2;
constexpr char kFormatName[] = "LAST feature store";

// Data sets and groups (3).
constexpr char kFeatures[] = "/features";
constexpr char kRowState[] = "/row_state";
constexpr char kRowCrc[] = "/row_crc32c";
constexpr char kRowCheck[] = "/row_check";
constexpr char kImageDigest[] = "/image_digest";
constexpr char kSampleId[] = "/sample_id";
constexpr char kView[] = "/view";
constexpr char kLabels[] = "/labels";
constexpr char kClasses[] = "/classes";
constexpr char kBackbone[] = "/backbone";
constexpr char kNormWeight[] = "/backbone/norm_weight";
constexpr char kNormBias[] = "/backbone/norm_bias";
constexpr char kLayers[] = "/backbone/layers";
constexpr char kThumbnails[] = "/thumbnails";
constexpr char kThumbnailCrc[] = "/thumbnail_crc32c";
constexpr char kStatistics[] = "/statistics";
constexpr char kMean[] = "/statistics/mean";
constexpr char kStd[] = "/statistics/std";

// Attributes of the root group (4).
constexpr char kFormat[] = "format";
constexpr char kVersion[] = "format_version";
constexpr char kCreatedBy[] = "created_by";
constexpr char kDtype[] = "dtype";
constexpr char kConfig[] = "config";
constexpr char kConfigHash[] = "config_hash";
constexpr char kImageListHash[] = "image_list_sha256";
constexpr char kShardIndex[] = "shard_index";
constexpr char kShardCount[] = "shard_count";
constexpr char kFirstRow[] = "first_row";
constexpr char kTotalRows[] = "total_rows";
constexpr char kFeaturesOffset[] = "features_offset";

// Attribute of /labels (3.8).
constexpr char kColumns[] = "columns";

constexpr int kFeaturesAlignment = 4096;
constexpr int kDigestBytes = 32;
constexpr int kLargestThumbnail = 1024;

}  // namespace last::layout
