#include <algorithm>
#include <initializer_list>
#include <set>

#include "common/error.h"
#include "common/feature_store/layout.h"
#include "common/feature_store/manifest.h"
#include "common/io/utf8.h"

namespace last {
namespace {

// Sizes that no real store reaches, and that keep every product below far from 2^63.
constexpr int64_t kMaxRows = int64_t{1} << 40;
constexpr int64_t kMaxExtent = int64_t{1} << 24;

struct Checker {
  const std::string& place;

  template <class... Parts>
  void require(bool condition, const Parts&... parts) const {
    if (!condition) fail(place, ": ", parts...);
  }

  void range(const char* what, int64_t value, int64_t low, int64_t high) const {
    require(value >= low && value <= high, what, " is ", value, ", expected ", low, " to ", high);
  }

  void length(const std::string& what, size_t found, int64_t expected) const {
    require(found == static_cast<size_t>(expected), found, " ", what, " for ", expected, " rows");
  }

  // Of names that go into JSON as well. Sample ids are paths, which may be any bytes.
  void name(const std::string& what, const std::string& value) const {
    text(what, value);
    require(is_utf8(value), what, " is not UTF-8");
  }

  void text(const std::string& what, const std::string& value) const {
    require(value.find('\0') == std::string::npos, what, " holds a zero byte");
  }
};

void check_norm(const Checker& check, const char* what, const at::Tensor& tensor, int64_t dim) {
  check.require(tensor.defined() && tensor.scalar_type() == c10::ScalarType::Float &&
                    tensor.device().is_cpu() && tensor.is_contiguous() && tensor.dim() == 1 &&
                    tensor.numel() == dim,
                "the final norm's ", what, " is not a contiguous fp32 tensor of ", dim, " values");
}

void check_backbone(const Checker& check, const BackboneInfo& backbone) {
  check.range("depth", backbone.depth, 1, kMaxExtent);
  check.range("dim", backbone.dim, 1, kMaxExtent);
  check.range("tokens", backbone.tokens, 1, kMaxExtent);
  check.range("grid height", backbone.grid_height, 1, kMaxExtent);
  check.range("grid width", backbone.grid_width, 1, kMaxExtent);
  check.range("prefix tokens", backbone.prefix_tokens, 0, backbone.tokens - 1);
  check.require(
      backbone.prefix_tokens + backbone.grid_height * backbone.grid_width == backbone.tokens,
      backbone.tokens, " tokens, but ", backbone.prefix_tokens, " prefix tokens and a grid of ",
      backbone.grid_height, "x", backbone.grid_width, " patches");
  check.require(!backbone.has_cls_token || backbone.prefix_tokens > 0,
                "a cls token, but no prefix tokens");
  check.require(!backbone.layers.empty(), "no layers");
  for (size_t i = 0; i < backbone.layers.size(); ++i) {
    check.range("a layer", backbone.layers[i], i == 0 ? 0 : backbone.layers[i - 1] + 1,
                backbone.depth);
  }
  check_norm(check, "weight", backbone.norm_weight, backbone.dim);
  check_norm(check, "bias", backbone.norm_bias, backbone.dim);
  check.require(backbone.norm_eps >= 0 && backbone.norm_eps < 1, "the final norm's eps is ",
                backbone.norm_eps);
  check.text("the backbone's name", backbone.name);
}

void check_column(const Checker& check, const LabelColumn& column, int64_t rows) {
  const std::string& name = column.name;
  check.name("a label column's name", name);
  check.require(!name.empty() && name != "." && name.find('/') == std::string::npos,
                "a label column can't be called \"", name, "\"");
  check.length("labels \"" + name + "\"", column.labels.size(), rows);
  for (const std::string& label : column.classes) check.name("a class of \"" + name + "\"", label);
  const int64_t limit =
      column.classes.empty() ? kMaxClassIndex + 1 : static_cast<int64_t>(column.classes.size());
  const auto wrong = std::ranges::find_if(
      column.labels, [=](int32_t label) { return label < kUnlabelled || label >= limit; });
  check.require(wrong == column.labels.end(), "label column \"", name, "\" holds the label ",
                wrong == column.labels.end() ? 0 : *wrong, ", expected -1 to ", limit - 1);
}

}  // namespace

void check_manifest(const Manifest& manifest, const std::string& place) {
  const Checker check{place};
  check.range("the number of rows", manifest.rows, 1, kMaxRows);
  dtype_name(manifest.dtype);
  check_backbone(check, manifest.backbone);
  int64_t bytes = manifest.rows;
  const int64_t element = static_cast<int64_t>(elementSize(manifest.dtype));
  for (const int64_t factor :
       {element, manifest.layers(), manifest.backbone.tokens, manifest.backbone.dim}) {
    check.require(!__builtin_mul_overflow(bytes, factor, &bytes), "its features exceed 2^63 bytes");
  }
  check.range("the thumbnails' size", manifest.thumbnail_size, 0, layout::kLargestThumbnail);
  check.length("sample ids", manifest.sample_ids.size(), manifest.rows);
  for (const std::string& id : manifest.sample_ids) check.text("a sample id", id);
  check.length("views", manifest.views.size(), manifest.rows);
  check.require(std::ranges::all_of(manifest.views, [](int32_t view) { return view >= 0; }),
                "a view is negative");
  std::set<std::string> names;
  for (const LabelColumn& column : manifest.labels) {
    check_column(check, column, manifest.rows);
    check.require(names.insert(column.name).second, "two label columns \"", column.name, "\"");
  }
  check.require(manifest.config.is_object() && manifest.config.contains("features"),
                "its configuration needs the part \"features\"");
  check.range("the shard count", manifest.shard_count, 1, 99999);
  check.range("the shard index", manifest.shard_index, 0, manifest.shard_count - 1);
  check.range("the number of rows of all shards", manifest.total_rows, manifest.rows,
              manifest.shard_count == 1 ? manifest.rows : kMaxRows);
  check.range("the first row", manifest.first_row, 0, manifest.total_rows - manifest.rows);
}

}  // namespace last
