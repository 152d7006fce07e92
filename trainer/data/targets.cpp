#include "trainer/data/targets.h"

#include <algorithm>
#include <set>

#include "common/error.h"

namespace last {
namespace {

std::string column_names(const StoreLabels& store) {
  std::string text;
  for (const auto& column : store.columns) text += (text.empty() ? "" : ", ") + column.name;
  return text.empty() ? "none" : text;
}

const LabelColumn& find_column(const std::string& name, const StoreLabels& store) {
  if (const auto* column = store.find(name)) return *column;
  fail("\"", store.path, "\" has no label column \"", name,
       "\"; its columns: ", column_names(store), " (--labels adds columns)");
}

Target resolve(const std::string& name, const std::vector<const StoreLabels*>& stores) {
  Target target{name, 0, {}};
  std::set<std::string> class_names;
  bool has_indices = false;
  for (const auto* store : stores) {
    const auto& column = find_column(name, *store);
    const bool any = std::any_of(column.labels.begin(), column.labels.end(),
                                 [](int32_t label) { return label != kUnlabelled; });
    if (column.classes.empty()) {
      has_indices |= any;
      for (const int32_t label : column.labels) {
        target.classes = std::max(target.classes, int64_t{label} + 1);
      }
    } else {
      class_names.insert(column.classes.begin(), column.classes.end());
    }
  }
  if (has_indices && !class_names.empty()) {
    fail("label column \"", name, "\" holds class names in one store and class indices in another");
  }
  if (!class_names.empty()) {
    target.class_names.assign(class_names.begin(), class_names.end());
    target.classes = static_cast<int64_t>(class_names.size());
  }
  if (target.classes < 1) fail("label column \"", name, "\" has no labels at all");
  return target;
}

}  // namespace

const LabelColumn* StoreLabels::find(const std::string& name) const {
  const auto found = std::find_if(columns.begin(), columns.end(),
                                  [&](const LabelColumn& column) { return column.name == name; });
  return found == columns.end() ? nullptr : &*found;
}

std::vector<Target> resolve_targets(const std::vector<std::string>& names,
                                    const std::vector<const StoreLabels*>& stores) {
  std::vector<std::string> wanted = names;
  if (wanted.empty()) {
    for (const auto& column : stores.front()->columns) wanted.push_back(column.name);
    if (wanted.empty()) {
      fail("\"", stores.front()->path,
           "\" has no label column: extract from a labelled list, or add labels with --labels");
    }
  }
  std::vector<Target> targets;
  for (const auto& name : wanted) {
    for (const auto& earlier : targets) {
      if (earlier.name == name) fail_usage("--target: \"", name, "\" is named twice");
    }
    targets.push_back(resolve(name, stores));
  }
  return targets;
}

std::vector<int32_t> target_labels(const Target& target, const StoreLabels& store) {
  const auto& column = find_column(target.name, store);
  if (column.classes.empty()) return column.labels;
  std::vector<int32_t> index_of(column.classes.size());
  for (size_t i = 0; i < column.classes.size(); ++i) {
    const auto found =
        std::lower_bound(target.class_names.begin(), target.class_names.end(), column.classes[i]);
    index_of[i] = static_cast<int32_t>(found - target.class_names.begin());
  }
  std::vector<int32_t> labels = column.labels;
  for (auto& label : labels) {
    if (label != kUnlabelled) label = index_of[static_cast<size_t>(label)];
  }
  return labels;
}

}  // namespace last
