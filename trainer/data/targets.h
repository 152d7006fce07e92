#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/feature_store/manifest.h"

namespace last {

// One thing to learn: a label column and the classes it has over all stores of a run.
struct Target {
  std::string name;
  int64_t classes = 0;                   // outputs of a network
  std::vector<std::string> class_names;  // [classes]; empty: the labels are bare indices
};

// The label columns of one store: its own, or what --labels made of them.
struct StoreLabels {
  std::string path;
  std::vector<LabelColumn> columns;  // labels [rows] each

  // nullptr where there is no such column.
  const LabelColumn* find(const std::string& name) const;
};

// The targets `names` (empty: all columns of the first store) over all stores. Columns of indices
// have largest index + 1 classes; columns of names are matched by name, sorted by bytes. An Error
// names a column that a store lacks, or one that is names here and indices there.
std::vector<Target> resolve_targets(const std::vector<std::string>& names,
                                    const std::vector<const StoreLabels*>& stores);

// The store's labels of a target as the target's class indices: [rows], -1 = unlabelled.
std::vector<int32_t> target_labels(const Target& target, const StoreLabels& store);

}  // namespace last
