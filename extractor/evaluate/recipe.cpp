#include "extractor/evaluate/recipe.h"

#include <map>

#include <ATen/ops/equal.h>

#include "common/error.h"
#include "common/feature_store/manifest.h"

namespace last {
namespace {

using nlohmann::json;

// What must be the same. Layers need not be: those that a network reads are computed. Nor
// precision, which is a choice of the machine.
json essential(const json& features) {
  json part = json::object();
  for (const char* key : {"weights_sha256", "model", "preprocessing", "store"}) {
    if (features.is_object() && features.contains(key)) part[key] = features[key];
  }
  return part;
}

FeatureRecipe read_recipe(const NamedBundle& network) {
  const json& features = network.bundle.members.front().features;
  FeatureRecipe recipe;
  recipe.source = network.path;
  recipe.features = features;
  const std::string place = "\"" + network.path + "\", which tells how its features were made";
  try {
    recipe.preprocessing = preprocessing_from_json(features.at("preprocessing"));
    recipe.store = parse_dtype(features.at("store").get<std::string>(), place);
    recipe.precision = parse_dtype(features.at("precision").get<std::string>(), place);
    features.at("weights_sha256").get<std::string>();
    features.at("model");
  } catch (const json::exception& error) {
    fail(place, ", is not complete: ", error.what());
  } catch (const Error& error) {
    fail(place, ", is damaged: ", error.what());
  }
  return recipe;
}

template <class T>
void require_same(const std::string& path, const char* what, const T& in_file, const T& now) {
  if (in_file != now) {
    fail("\"", path, "\" is of another backbone: ", what, ": ", in_file, " in the file, ", now,
         " now");
  }
}

void check_info(const std::string& path, const BackboneInfo& file, const BackboneInfo& now) {
  require_same(path, "weights_sha256", file.weights_sha256, now.weights_sha256);
  require_same(path, "depth", file.depth, now.depth);
  require_same(path, "dim", file.dim, now.dim);
  require_same(path, "tokens", file.tokens, now.tokens);
  require_same(path, "prefix tokens", file.prefix_tokens, now.prefix_tokens);
  require_same(path, "cls token", file.has_cls_token, now.has_cls_token);
  require_same(path, "norm_eps", file.norm_eps, now.norm_eps);
  const auto same = [](const at::Tensor& a, const at::Tensor& b) {
    return !a.defined() || at::equal(a, b);  // a network with its own final norm holds no other
  };
  if (!same(file.norm_weight, now.norm_weight) || !same(file.norm_bias, now.norm_bias)) {
    fail("\"", path, "\" is of another backbone: the final norm has other values");
  }
}

}  // namespace

FeatureRecipe common_recipe(const std::vector<NamedBundle>& networks) {
  FeatureRecipe recipe = read_recipe(networks.front());
  for (const NamedBundle& network : networks) {
    const json& features = network.bundle.members.front().features;
    const std::string difference =
        first_difference(essential(recipe.features), essential(features),
                         "in \"" + recipe.source + "\"", "in \"" + network.path + "\"");
    if (!difference.empty()) {
      fail("these networks can't be evaluated together: ", difference,
           "; evaluate them one after the other");
    }
  }
  return recipe;
}

std::vector<std::string> precision_notices(const std::vector<NamedBundle>& networks,
                                           c10::ScalarType now) {
  std::map<c10::ScalarType, std::vector<std::string>> others;
  for (const NamedBundle& network : networks) {
    const c10::ScalarType precision = read_recipe(network).precision;
    if (precision != now) others[precision].push_back(network.path);
  }
  std::vector<std::string> notices;
  for (const auto& [precision, paths] : others) {
    const std::string more = paths.size() > 1 ? concat(" and ", paths.size() - 1, " more") : "";
    notices.push_back(concat("the features of \"", paths.front(), "\"", more, " were computed in ",
                             dtype_name(precision), ", these are in ", dtype_name(now),
                             ": last digits differ (--precision changes it)"));
  }
  return notices;
}

void check_backbone(const FeatureRecipe& recipe, const std::vector<NamedBundle>& networks,
                    const Backbone& backbone) {
  json now = essential(recipe.features);
  now["weights_sha256"] = backbone.weights_sha256;
  now["model"] = backbone.report.config;
  const std::string difference = first_difference(essential(recipe.features), now,
                                                  "in \"" + recipe.source + "\"", "in --weights");
  if (!difference.empty()) {
    fail("the networks were trained on another backbone: ", difference,
         "; give the checkpoint (and the options about it) that their features were made with");
  }
  for (const NamedBundle& network : networks) {
    for (const NetworkFile& member : network.bundle.members) {
      check_info(network.path, member.backbone, backbone.info(member.backbone.layers));
    }
  }
}

}  // namespace last
