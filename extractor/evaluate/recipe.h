#pragma once

#include <string>
#include <vector>

#include <c10/core/ScalarType.h>
#include <nlohmann/json.hpp>

#include "extractor/backbone/load.h"
#include "extractor/evaluate/networks.h"
#include "extractor/images/preprocess.h"

namespace last {

// How the features were made that networks were trained on, as far as it has to be repeated.
struct FeatureRecipe {
  std::string source;  // the file that says so
  nlohmann::json features;
  Preprocessing preprocessing;
  c10::ScalarType store = c10::ScalarType::Half;  // maps were rounded to
  c10::ScalarType precision = c10::ScalarType::Float;
};

// That of all networks; an Error names the first difference between two of them, or what a file
// doesn't tell.
FeatureRecipe common_recipe(const std::vector<NamedBundle>& networks);

// For people: which networks' features were computed in another precision than `now`, a line for
// each of these.
std::vector<std::string> precision_notices(const std::vector<NamedBundle>& networks,
                                           c10::ScalarType now);

// An Error with the first difference where the backbone is not that of the networks.
void check_backbone(const FeatureRecipe& recipe, const std::vector<NamedBundle>& networks,
                    const Backbone& backbone);

}  // namespace last
