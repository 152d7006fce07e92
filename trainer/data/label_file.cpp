#include "trainer/data/label_file.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <unordered_map>

#include "common/error.h"
#include "common/io/checksum.h"
#include "common/io/file.h"
#include "common/labels/csv_list.h"
#include "common/labels/labels.h"

namespace last {
namespace {

constexpr int64_t kNotNamed = -1;

// Which row of the file names each row of a store, [rows of the store]; kNotNamed where none does.
using FileRows = std::vector<int64_t>;

// Where a row of the file was found first.
struct Place {
  const StoreGroup* group = nullptr;
  size_t store = 0;
  int64_t row = 0;
};

const FeatureStoreReader& reader_at(const Place& place) {
  return *place.group->readers[place.store];
}

class Matcher {
 public:
  explicit Matcher(const ListRows& rows) : rows_(rows), found_(rows.rows.size()) {
    for (size_t i = 0; i < rows.rows.size(); ++i) {
      row_of_.emplace(rows.rows[i].id, static_cast<int64_t>(i));
    }
  }

  FileRows match(const StoreGroup& group, size_t store) {
    const auto& ids = group.readers[store]->manifest().sample_ids;
    FileRows result(ids.size(), kNotNamed);
    for (size_t row = 0; row < ids.size(); ++row) {
      const auto named = row_of_.find(ids[row]);
      if (named == row_of_.end()) continue;
      result[row] = named->second;
      note(named->second, {&group, store, static_cast<int64_t>(row)});
    }
    return result;
  }

  // An Error where the file names a sample that was found nowhere.
  void check_all_found() const {
    const auto missing = [](const Place& place) { return place.group == nullptr; };
    const auto first = std::find_if(found_.begin(), found_.end(), missing);
    if (first == found_.end()) return;
    const auto& row = rows_.rows[static_cast<size_t>(first - found_.begin())];
    const auto others = std::count_if(first, found_.end(), missing) - 1;
    const auto& example = reader_at(example_).manifest().sample_ids.front();
    fail(rows_.source, ":", row.line, ": no store of this run has a sample \"", row.id, "\"",
         others > 0 ? concat(", nor ", others, " others that follow") : "",
         "; samples are called as in their image list, for example \"", example, "\"");
  }

  void set_example(const StoreGroup& group) { example_ = {&group, 0, 0}; }

 private:
  // The same id in two stores must mean the same image. Bad images have no digest to compare.
  void note(int64_t file_row, const Place& place) {
    auto& first = found_[static_cast<size_t>(file_row)];
    if (reader_at(place).state(place.row) != RowState::kStored) {
      if (first.group == nullptr) first = place;
      return;
    }
    if (first.group == nullptr || reader_at(first).state(first.row) != RowState::kStored) {
      first = place;
      return;
    }
    if (reader_at(first).image_digest(first.row) == reader_at(place).image_digest(place.row)) {
      return;
    }
    const auto& row = rows_.rows[static_cast<size_t>(file_row)];
    fail(rows_.source, ":", row.line, ": \"", row.id, "\" is one image in \"",
         first.group->paths[first.store], "\" (--", first.group->role, ") and another in \"",
         place.group->paths[place.store], "\" (--", place.group->role,
         "): labels by name need image lists with different names");
  }

  const ListRows& rows_;
  std::unordered_map<std::string_view, int64_t> row_of_;
  std::vector<Place> found_;  // by row of the file
  Place example_;
};

// Class names that some store has in a column of this name.
std::set<std::string> known_names(const std::vector<StoreGroup>& groups, const std::string& name) {
  std::set<std::string> names;
  for (const auto& group : groups) {
    for (const auto& store : group.labels) {
      const auto* column = store.find(name);
      if (column != nullptr) names.insert(column->classes.begin(), column->classes.end());
    }
  }
  return names;
}

LabelColumn understand(const ListRows& rows, size_t column, const std::vector<StoreGroup>& groups) {
  const auto names = known_names(groups, rows.columns[column]);
  const bool all_known = std::all_of(rows.rows.begin(), rows.rows.end(), [&](const ListRow& row) {
    return row.cells[column].empty() || names.count(row.cells[column]) != 0;
  });
  return understand_labels(rows, column, /*force_names=*/!names.empty() && all_known);
}

bool any_labelled(const LabelColumn& column) {
  return std::any_of(column.labels.begin(), column.labels.end(),
                     [](int32_t label) { return label != kUnlabelled; });
}

const char* kind_of(const LabelColumn& column) {
  return column.classes.empty() ? "class indices" : "class names";
}

// Numbers the classes that are still in use, in order of their names.
LabelColumn number_names(const std::string& name, const std::vector<const std::string*>& labels) {
  std::map<std::string_view, int32_t> index_of;
  for (const auto* label : labels) {
    if (label != nullptr) index_of.emplace(*label, 0);
  }
  LabelColumn column{name, {}, {}};
  for (auto& [text, index] : index_of) {
    index = static_cast<int32_t>(column.classes.size());
    column.classes.emplace_back(text);
  }
  for (const auto* label : labels) {
    column.labels.push_back(label == nullptr ? kUnlabelled : index_of.at(*label));
  }
  return column;
}

const std::string* name_of(const LabelColumn& column, int64_t row) {
  const int32_t label = column.labels[static_cast<size_t>(row)];
  return label == kUnlabelled ? nullptr : &column.classes[static_cast<size_t>(label)];
}

// `store` with the file's labels where it names a row.
LabelColumn merged(const LabelColumn& store, const LabelColumn& file, const FileRows& file_rows,
                   const std::string& source, const std::string& store_path) {
  LabelColumn kept = store;
  int64_t kept_labels = 0;
  for (size_t row = 0; row < file_rows.size(); ++row) {
    if (file_rows[row] != kNotNamed) kept.labels[row] = kUnlabelled;
    kept_labels += kept.labels[row] != kUnlabelled ? 1 : 0;
  }
  const bool names = any_labelled(file) ? !file.classes.empty() : !store.classes.empty();
  if (kept_labels > 0 && any_labelled(file) && kind_of(store) != std::string_view(kind_of(file))) {
    fail(source, ": column ", file.name, " holds ", kind_of(file), ", in \"", store_path,
         "\" it holds ", kind_of(store), ", which ", kept_labels,
         " samples that the file doesn't name keep: name all samples, or rename the column");
  }
  if (names) {
    std::vector<const std::string*> labels;
    for (size_t row = 0; row < file_rows.size(); ++row) {
      const bool named = file_rows[row] != kNotNamed;
      labels.push_back(named ? name_of(file, file_rows[row])
                             : name_of(kept, static_cast<int64_t>(row)));
    }
    return number_names(store.name, labels);
  }
  for (size_t row = 0; row < file_rows.size(); ++row) {
    if (file_rows[row] == kNotNamed) continue;
    kept.labels[row] = file.labels[static_cast<size_t>(file_rows[row])];
  }
  kept.classes.clear();
  return kept;
}

void put_into(StoreLabels& store, const LabelColumn& file, const FileRows& file_rows,
              const std::string& source) {
  for (auto& column : store.columns) {
    if (column.name != file.name) continue;
    column = merged(column, file, file_rows, source, store.path);
    return;
  }
  const LabelColumn nothing{file.name, std::vector<int32_t>(file_rows.size(), kUnlabelled), {}};
  store.columns.push_back(merged(nothing, file, file_rows, source, store.path));
}

}  // namespace

LabelFile read_label_file(const std::string& path) {
  std::string text = read_text_file(path);
  LabelFile file{{}, to_hex(sha256(text.data(), text.size()))};
  strip_byte_order_mark(text);
  file.rows = read_csv_rows(path, text);
  if (file.rows.columns.empty()) fail(path, ":1: no label column; the header is path,NAME..");
  if (file.rows.rows.empty()) fail(path, ": no labels in it");
  check_ids(file.rows);
  return file;
}

std::string apply_labels(const LabelFile& file, std::vector<StoreGroup>& groups) {
  Matcher matcher(file.rows);
  std::vector<std::vector<FileRows>> matches;  // [groups][stores]
  std::string counts;
  for (const auto& group : groups) {
    auto& of_group = matches.emplace_back();
    int64_t images = 0;
    int64_t named = 0;
    for (size_t store = 0; store < group.readers.size(); ++store) {
      of_group.push_back(matcher.match(group, store));
      const auto& views = group.readers[store]->manifest().views;
      for (size_t row = 0; row < views.size(); ++row) {
        if (views[row] != 0) continue;
        images += 1;
        named += of_group.back()[row] != kNotNamed ? 1 : 0;
      }
    }
    if (!group.readers.empty()) matcher.set_example(group);
    if (images == 0) continue;
    counts +=
        concat(counts.empty() ? "" : ", ", named, " of ", images, " images of --", group.role);
  }
  matcher.check_all_found();
  for (size_t column = 0; column < file.rows.columns.size(); ++column) {
    const auto labels = understand(file.rows, column, groups);
    for (size_t g = 0; g < groups.size(); ++g) {
      for (size_t s = 0; s < groups[g].labels.size(); ++s) {
        put_into(groups[g].labels[s], labels, matches[g][s], file.rows.source);
      }
    }
  }
  return concat("labels of ", file.rows.source, ": for ", counts);
}

}  // namespace last
