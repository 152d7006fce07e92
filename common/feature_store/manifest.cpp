#include "common/feature_store/manifest.h"

#include <algorithm>

#include "common/error.h"
#include "common/io/checksum.h"

namespace last {
namespace {

int64_t count_labelled(const LabelColumn& column) {
  return std::ranges::count_if(column.labels, [](int32_t label) { return label != kUnlabelled; });
}

}  // namespace

int64_t Manifest::row_bytes() const {
  return layers() * backbone.tokens * backbone.dim * static_cast<int64_t>(elementSize(dtype));
}

std::string Manifest::config_hash() const {
  const auto features = config.find("features");
  if (features == config.end()) fail("a store's configuration needs the part \"features\"");
  // Keys of nlohmann's objects are sorted: one configuration has one dump.
  const std::string text = features->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return to_hex(sha256(text.data(), text.size()));
}

c10::ScalarType parse_dtype(const std::string& name, const std::string& context) {
  if (name == "fp16") return c10::ScalarType::Half;
  if (name == "bf16") return c10::ScalarType::BFloat16;
  if (name == "fp32") return c10::ScalarType::Float;
  fail(context, ": no feature type \"", name, "\"; known: fp16, bf16, fp32");
}

std::string dtype_name(c10::ScalarType dtype) {
  switch (dtype) {
    case c10::ScalarType::Half:
      return "fp16";
    case c10::ScalarType::BFloat16:
      return "bf16";
    case c10::ScalarType::Float:
      return "fp32";
    default:
      fail("no feature type ", c10::toString(dtype), "; known: fp16, bf16, fp32");
  }
}

nlohmann::json to_json(const Manifest& manifest) {
  const BackboneInfo& backbone = manifest.backbone;
  nlohmann::json labels = nlohmann::json::array();
  for (const LabelColumn& column : manifest.labels) {
    const int32_t largest =
        column.labels.empty() ? kUnlabelled : *std::ranges::max_element(column.labels);
    labels.push_back({{"name", column.name},
                      {"classes", column.classes.empty() ? static_cast<size_t>(largest + 1)
                                                         : column.classes.size()},
                      {"named", !column.classes.empty()},
                      {"labelled", count_labelled(column)}});
  }
  return {{"rows", manifest.rows},
          {"views", manifest.views.empty() ? 0 : *std::ranges::max_element(manifest.views) + 1},
          {"shape", {manifest.rows, manifest.layers(), backbone.tokens, backbone.dim}},
          {"dtype", dtype_name(manifest.dtype)},
          {"row_bytes", manifest.row_bytes()},
          {"layers", backbone.layers},
          {"tokens", backbone.tokens},
          {"dim", backbone.dim},
          {"backbone",
           {{"name", backbone.name},
            {"weights_sha256", backbone.weights_sha256},
            {"depth", backbone.depth},
            {"prefix_tokens", backbone.prefix_tokens},
            {"has_cls_token", backbone.has_cls_token},
            {"grid", {backbone.grid_height, backbone.grid_width}},
            {"norm_eps", backbone.norm_eps}}},
          {"labels", labels},
          {"thumbnails", manifest.thumbnail_size},
          {"config", manifest.config},
          {"config_hash", manifest.config_hash()},
          {"image_list_sha256", manifest.image_list_sha256},
          {"created_by", manifest.created_by},
          {"shard_index", manifest.shard_index},
          {"shard_count", manifest.shard_count},
          {"first_row", manifest.first_row},
          {"total_rows", manifest.total_rows}};
}

}  // namespace last
