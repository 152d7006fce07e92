#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace last {

// One row of an image list before its labels are understood.
struct ListRow {
  std::string id;
  std::vector<std::string> cells;  // [columns], empty = unlabelled
  int64_t line = 0;                // from 1; 0 for folders
};

struct ListRows {
  std::string source;  // the list, for messages
  std::vector<std::string> columns;
  std::vector<ListRow> rows;
};

// `text` is the file's content without a byte order mark; `folder` is where relative paths start.
ListRows read_plain_rows(const std::string& source, const std::string& text,
                         const std::string& folder);
ListRows read_csv_rows(const std::string& source, const std::string& text);
ListRows read_folder_rows(const std::string& folder);

// `folder`/`id`, or `id` where that is absolute.
std::string resolve_path(const std::string& folder, const std::string& id);

}  // namespace last
