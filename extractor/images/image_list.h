#pragma once

#include <string>
#include <vector>

#include "common/feature_store/manifest.h"

namespace last {

// The images of a run in order, with their labels.
struct ImageList {
  std::vector<std::string> ids;    // as the list gives them; unique
  std::vector<std::string> paths;  // where the files are; they may be missing
  std::vector<LabelColumn> labels;
  std::string sha256;  // of the list's bytes; for a folder, of its ids and labels

  size_t size() const { return ids.size(); }
};

// Reads what --images names:
// - a folder of class folders (as torchvision's ImageFolder): a row per image in byte order of the
//   relative path, which is the id; the label is the class folder, images outside of one have none.
//   Links that lead nowhere count, as images that can't be read;
// - a .csv (RFC 4180) with the header `path,NAME,NAME..`, a label column per NAME;
// - any other file: lines `path label`, separated by the last space, or `path` alone; blank lines
//   and lines that start with # are skipped.
// Relative paths start at the list's folder. A column of integers holds class indices, any other
// holds class names, numbered in byte order; empty cells are kUnlabelled.
//
// Errors name file and line: duplicate ids, negative indices, fractions, broken CSV, no images.
ImageList read_image_list(const std::string& list_or_folder);

}  // namespace last
