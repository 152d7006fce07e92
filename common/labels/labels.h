#pragma once

#include "common/feature_store/manifest.h"
#include "common/labels/list_rows.h"

namespace last {

// Column `column` of the rows as labels: class indices where every cell is a whole number (negative
// ones are an Error with file and line), otherwise class names in byte order; empty = kUnlabelled.
// A column of numbers with fractions is an Error, and so is a name that is not UTF-8.
// `force_names`: names even where all are numbers.
LabelColumn understand_labels(const ListRows& rows, size_t column, bool force_names);

}  // namespace last
