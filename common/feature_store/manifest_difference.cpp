#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "common/error.h"
#include "common/feature_store/manifest.h"

namespace last {
namespace {

using nlohmann::json;

// Collects nothing but the first difference; what is compared after it is not even looked at.
class Comparison {
 public:
  // What is said behind the values of both sides: "in the store", "now".
  Comparison(std::string left, std::string right)
      : left_label_(std::move(left)), right_label_(std::move(right)) {}

  bool found() const { return !text_.empty(); }
  const std::string& text() const { return text_; }

  void leaves(const std::string& path, const json& left, const json& right) {
    if (found() || left == right) return;
    if (!left.is_object() || !right.is_object()) return differ(path, left, right);
    json keys = left;  // sorted union of both
    keys.update(right);
    const json absent(json::value_t::discarded);
    for (const auto& item : keys.items()) {
      const auto a = left.find(item.key());
      const auto b = right.find(item.key());
      const std::string leaf = path.empty() ? item.key() : path + "." + item.key();
      if (a == left.end() || b == right.end()) {
        differ(leaf, a == left.end() ? absent : *a, b == right.end() ? absent : *b);
      } else {
        leaves(leaf, *a, *b);
      }
    }
  }

  template <class T>
  void values(const std::string& what, const T& left, const T& right) {
    if (!found() && left != right) differ(what, left, right);
  }

  // `what` names an element up to its index.
  template <class T>
  void lists(const std::string& what, const std::vector<T>& left, const std::vector<T>& right) {
    if (found()) return;
    if (left.size() != right.size()) return differ(what, left.size(), right.size());
    const auto [a, b] = std::ranges::mismatch(left, right);
    if (a != left.end()) differ(concat(what, " ", a - left.begin()), *a, *b);
  }

  void tensors(const std::string& what, const at::Tensor& left, const at::Tensor& right) {
    if (found()) return;
    const bool equal = left.numel() == right.numel() &&
                       std::memcmp(left.data_ptr(), right.data_ptr(), left.nbytes()) == 0;
    if (!equal) text_ = concat(what, ": other values ", left_label_, " than ", right_label_);
  }

 private:
  void differ(const std::string& what, const json& left, const json& right) {
    if (found()) return;
    const auto text = [](const json& value) {
      return value.is_discarded() ? std::string("absent")
                                  : value.dump(-1, ' ', false, json::error_handler_t::replace);
    };
    text_ = concat(what, ": ", text(left), " ", left_label_, ", ", text(right), " ", right_label_);
  }

  std::string left_label_;
  std::string right_label_;
  std::string text_;
};

// Of config["run"]; null where there is none.
json run_entry(const json& config, const char* key) {
  const auto run = config.find("run");
  return run == config.end() || !run->is_object() ? json() : run->value(key, json());
}

// Entries of config["run"] that change what a store holds: last bits, and which images are bad.
void compare_run(Comparison& comparison, const json& left, const json& right) {
  for (const char* key : {"batch_size", "max_pixels"}) {
    comparison.values(key, run_entry(left, key), run_entry(right, key));
  }
}

// "cuda" of "cuda:0"; empty where it isn't told.
std::string device_kind(const Manifest& manifest) {
  const json device = run_entry(manifest.config, "device");
  if (!device.is_string()) return "";
  const std::string name = device.get<std::string>();
  return name.substr(0, name.find(':'));
}

void compare_shapes(Comparison& comparison, const Manifest& left, const Manifest& right) {
  comparison.values("feature type", dtype_name(left.dtype), dtype_name(right.dtype));
  comparison.values("layers", left.backbone.layers, right.backbone.layers);
  comparison.values("tokens", left.backbone.tokens, right.backbone.tokens);
  comparison.values("dim", left.backbone.dim, right.backbone.dim);
}

// All but what compare_shapes() covers, and the name.
void compare_backbones(Comparison& comparison, const BackboneInfo& left,
                       const BackboneInfo& right) {
  comparison.values("weights SHA-256", left.weights_sha256, right.weights_sha256);
  comparison.values("depth", left.depth, right.depth);
  comparison.values("prefix tokens", left.prefix_tokens, right.prefix_tokens);
  comparison.values("cls token", left.has_cls_token, right.has_cls_token);
  comparison.values("grid height", left.grid_height, right.grid_height);
  comparison.values("grid width", left.grid_width, right.grid_width);
  comparison.values("norm eps", left.norm_eps, right.norm_eps);
  comparison.tensors("norm weight", left.norm_weight, right.norm_weight);
  comparison.tensors("norm bias", left.norm_bias, right.norm_bias);
}

void compare_labels(Comparison& comparison, const std::vector<LabelColumn>& left,
                    const std::vector<LabelColumn>& right) {
  comparison.values("label columns", left.size(), right.size());
  for (size_t i = 0; i < left.size() && !comparison.found(); ++i) {
    const std::string of = " of column \"" + left[i].name + "\"";
    comparison.values("label column", left[i].name, right[i].name);
    comparison.lists("class" + of, left[i].classes, right[i].classes);
    comparison.lists("label" + of + ", row", left[i].labels, right[i].labels);
  }
}

json features_without_views(const Manifest& manifest) {
  json features = manifest.config.value("features", json());
  if (features.is_object()) features.erase("views");
  return features;
}

}  // namespace

std::string first_difference(const json& a, const json& b, const std::string& label_a,
                             const std::string& label_b) {
  Comparison comparison(label_a, label_b);
  comparison.leaves("", a, b);
  return comparison.text();
}

std::string first_difference(const Manifest& stored, const Manifest& now) {
  Comparison comparison("in the store", "now");
  comparison.leaves("", stored.config.value("features", json()),
                    now.config.value("features", json()));
  comparison.values("shard count", stored.shard_count, now.shard_count);
  comparison.values("shard index", stored.shard_index, now.shard_index);
  compare_run(comparison, stored.config, now.config);
  compare_shapes(comparison, stored, now);
  comparison.values("thumbnails (their size)", stored.thumbnail_size, now.thumbnail_size);
  comparison.values("rows", stored.rows, now.rows);
  comparison.values("rows of all shards", stored.total_rows, now.total_rows);
  comparison.values("first row", stored.first_row, now.first_row);
  comparison.lists("image", stored.sample_ids, now.sample_ids);
  comparison.lists("view of row", stored.views, now.views);
  compare_labels(comparison, stored.labels, now.labels);
  comparison.values("image list SHA-256", stored.image_list_sha256, now.image_list_sha256);
  comparison.values("backbone", stored.backbone.name, now.backbone.name);
  compare_backbones(comparison, stored.backbone, now.backbone);
  comparison.values("program", stored.created_by, now.created_by);
  return comparison.text();
}

std::string row_difference(const Manifest& a, const Manifest& b, const std::string& label_a,
                           const std::string& label_b) {
  Comparison comparison(label_a, label_b);
  comparison.leaves("", a.config.value("features", json()), b.config.value("features", json()));
  compare_run(comparison, a.config, b.config);
  compare_shapes(comparison, a, b);
  compare_backbones(comparison, a.backbone, b.backbone);
  comparison.values("program", a.created_by, b.created_by);
  return comparison.text();
}

std::string device_difference(const Manifest& a, const Manifest& b, const std::string& label_a,
                              const std::string& label_b) {
  const std::string kind_a = device_kind(a), kind_b = device_kind(b);
  Comparison comparison(label_a, label_b);
  if (!kind_a.empty() && !kind_b.empty()) comparison.values("device", kind_a, kind_b);
  return comparison.text();
}

std::string feature_difference(const Manifest& a, const Manifest& b, const std::string& label_a,
                               const std::string& label_b) {
  Comparison comparison(label_a, label_b);
  comparison.leaves("", features_without_views(a), features_without_views(b));
  compare_shapes(comparison, a, b);
  compare_backbones(comparison, a.backbone, b.backbone);
  return comparison.text();
}

}  // namespace last
