#include <algorithm>
#include <cstring>

#include "common/error.h"
#include "common/feature_store/manifest.h"

namespace last {
namespace {

using nlohmann::json;

std::string difference(const std::string& what, const json& stored, const json& now) {
  const auto text = [](const json& value) {
    return value.is_discarded() ? std::string("absent")
                                : value.dump(-1, ' ', false, json::error_handler_t::replace);
  };
  return concat(what, ": ", text(stored), " in the store, ", text(now), " now");
}

std::string first_leaf(const std::string& path, const json& stored, const json& now) {
  if (stored == now) return "";
  if (!stored.is_object() || !now.is_object()) return difference(path, stored, now);
  json keys = stored;  // sorted union of both
  keys.update(now);
  const json absent(json::value_t::discarded);
  for (const auto& item : keys.items()) {
    const auto left = stored.find(item.key());
    const auto right = now.find(item.key());
    const bool both = left != stored.end() && right != now.end();
    const std::string leaf = path.empty() ? item.key() : path + "." + item.key();
    if (!both) {
      return difference(leaf, left == stored.end() ? absent : *left,
                        right == now.end() ? absent : *right);
    }
    if (std::string found = first_leaf(leaf, *left, *right); !found.empty()) return found;
  }
  return "";
}

template <class T>
std::string compare(const std::string& what, const T& stored, const T& now) {
  return stored == now ? "" : difference(what, stored, now);
}

// `place` names the row: the index alone, or the index and what it is about.
template <class T>
std::string compare_lists(const std::string& what, const std::vector<T>& stored,
                          const std::vector<T>& now) {
  if (stored.size() != now.size()) return difference(what, stored.size(), now.size());
  const auto [left, right] = std::ranges::mismatch(stored, now);
  if (left == stored.end()) return "";
  return difference(concat(what, " ", left - stored.begin()), *left, *right);
}

std::string compare_tensors(const std::string& what, const at::Tensor& stored,
                            const at::Tensor& now) {
  const bool equal = stored.numel() == now.numel() &&
                     std::memcmp(stored.data_ptr(), now.data_ptr(), stored.nbytes()) == 0;
  return equal ? "" : what + ": other values in the store than now";
}

std::string batch_size_difference(const json& stored, const json& now) {
  const auto batch_size = [](const json& config) {
    const auto run = config.find("run");
    return run == config.end() || !run->is_object() ? json() : run->value("batch_size", json());
  };
  return compare("batch_size", batch_size(stored), batch_size(now));
}

}  // namespace

std::string first_difference(const json& stored, const json& now) {
  return first_leaf("", stored, now);
}

std::string first_difference(const Manifest& stored, const Manifest& now) {
  std::string found;
  // Assigns the first difference that is not empty; later ones are not even looked for.
  const auto differs = [&](auto&& next) {
    found = next();
    return !found.empty();
  };
  const BackboneInfo& left = stored.backbone;
  const BackboneInfo& right = now.backbone;
  if (differs([&] { return first_leaf("", stored.config["features"], now.config["features"]); }) ||
      differs([&] { return compare("shard count", stored.shard_count, now.shard_count); }) ||
      differs([&] { return compare("shard index", stored.shard_index, now.shard_index); }) ||
      differs([&] { return batch_size_difference(stored.config, now.config); }) || differs([&] {
        return compare("feature type", dtype_name(stored.dtype), dtype_name(now.dtype));
      }) ||
      differs([&] { return compare("layers", left.layers, right.layers); }) ||
      differs([&] { return compare("tokens", left.tokens, right.tokens); }) ||
      differs([&] { return compare("dim", left.dim, right.dim); }) ||
      differs([&] { return compare("rows", stored.rows, now.rows); }) ||
      differs([&] { return compare_lists("image", stored.sample_ids, now.sample_ids); }) ||
      differs([&] {
        return compare("image list SHA-256", stored.image_list_sha256, now.image_list_sha256);
      }) ||
      differs([&] { return compare_lists("view of row", stored.views, now.views); }) ||
      differs([&] { return compare("label columns", stored.labels.size(), now.labels.size()); })) {
    return found;
  }
  for (size_t i = 0; i < stored.labels.size(); ++i) {
    const LabelColumn& a = stored.labels[i];
    const LabelColumn& b = now.labels[i];
    const std::string of = " of column \"" + a.name + "\"";
    if (differs([&] { return compare("label column", a.name, b.name); }) ||
        differs([&] { return compare_lists("class" + of, a.classes, b.classes); }) ||
        differs([&] { return compare_lists("label" + of + ", row", a.labels, b.labels); })) {
      return found;
    }
  }
  if (differs(
          [&] { return compare("weights SHA-256", left.weights_sha256, right.weights_sha256); }) ||
      differs([&] { return compare("backbone", left.name, right.name); }) ||
      differs([&] { return compare("depth", left.depth, right.depth); }) ||
      differs([&] { return compare("prefix tokens", left.prefix_tokens, right.prefix_tokens); }) ||
      differs([&] { return compare("cls token", left.has_cls_token, right.has_cls_token); }) ||
      differs([&] { return compare("grid height", left.grid_height, right.grid_height); }) ||
      differs([&] { return compare("grid width", left.grid_width, right.grid_width); }) ||
      differs([&] { return compare("norm eps", left.norm_eps, right.norm_eps); }) || differs([&] {
        return compare_tensors("norm weight", left.norm_weight, right.norm_weight);
      }) ||
      differs([&] { return compare_tensors("norm bias", left.norm_bias, right.norm_bias); })) {
    return found;
  }
  return compare("program", stored.created_by, now.created_by);
}

}  // namespace last
