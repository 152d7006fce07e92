#pragma once

#include <string>
#include <vector>

#include "common/labels/list_rows.h"
#include "trainer/data/dataset.h"

namespace last {

// FILE of --labels: RFC 4180 with the header `path,NAME,NAME..`; path is a sample id.
struct LabelFile {
  ListRows rows;
  std::string sha256;  // of the file's bytes
};

// Errors name file and line: broken CSV, a sample that stands twice.
LabelFile read_label_file(const std::string& path);

// Puts the file's labels into the label columns of the groups' stores, by sample id; an empty cell
// makes a sample unlabelled. A column that a store lacks is added to it. Samples that the file
// doesn't name keep what the store says, which in an added column is nothing. Cells are understood
// as in an image list, but whole numbers that are all names of classes in a store are those names.
//
// Returns one line that says how many images got labels. An Error names file and line of a sample
// that is in no store, of an id that two stores give to different images, and a column that would
// hold class names and class indices.
std::string apply_labels(const LabelFile& file, std::vector<StoreGroup>& groups);

}  // namespace last
