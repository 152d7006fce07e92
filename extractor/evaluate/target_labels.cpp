#include "extractor/evaluate/target_labels.h"

#include <algorithm>
#include <map>
#include <set>

#include "common/error.h"

namespace last {
namespace {

std::string text_of(const LabelColumn& column, int32_t label) {
  return column.classes.empty() ? std::to_string(label)
                                : column.classes[static_cast<size_t>(label)];
}

std::string column_names(const ImageList& list) {
  std::string text;
  for (const LabelColumn& column : list.labels) {
    text += (text.empty() ? "\"" : ", \"") + column.name + "\"";
  }
  return text;
}

}  // namespace

TargetLabels match_labels(const ImageList& list, const NamedBundle& network,
                          std::vector<std::string>* warnings) {
  TargetLabels result;
  result.labels.assign(list.size(), kUnlabelled);
  std::map<std::string, int32_t> index_of;
  for (int64_t i = 0; i < network.classes(); ++i) {
    result.names.push_back(network.class_text(i));
    index_of.emplace(result.names.back(), static_cast<int32_t>(i));
  }
  const auto column = std::ranges::find(list.labels, network.target(), &LabelColumn::name);
  if (column == list.labels.end()) {
    if (!list.labels.empty()) {
      warnings->push_back(concat("the list has no label column \"", network.target(), "\" (only ",
                                 column_names(list), "): accuracies for it are left empty"));
    }
    return result;
  }
  std::set<int32_t> found, known;
  for (size_t image = 0; image < list.size(); ++image) {
    const int32_t label = column->labels[image];
    if (label == kUnlabelled) continue;
    const std::string text = text_of(*column, label);
    const auto [entry, is_new] = index_of.emplace(text, static_cast<int32_t>(result.names.size()));
    if (is_new) result.names.push_back(text);
    result.labels[image] = entry->second;
    found.insert(label);
    if (entry->second < network.classes()) known.insert(label);
  }
  const int64_t unknown = static_cast<int64_t>(result.names.size()) - network.classes();
  if (unknown == 0) return result;
  const std::string& first = result.names[static_cast<size_t>(network.classes())];
  if (known.empty()) {
    fail("none of the ", found.size(), " classes of label column \"", network.target(),
         "\" is one of \"", network.path, "\": \"", first, "\" in the list, \"",
         network.class_text(0), "\" in the network");
  }
  warnings->push_back(concat("label column \"", network.target(), "\": ", unknown, " of ",
                             found.size(), " classes are unknown to \"", network.path,
                             "\", the first is \"", first, "\": their images count as wrong"));
  return result;
}

}  // namespace last
