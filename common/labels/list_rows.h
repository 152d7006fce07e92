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

// Drops the UTF-8 byte order mark that some editors put in front of a text.
void strip_byte_order_mark(std::string& text);

// An Error with file and line where an id stands twice or holds a zero byte.
void check_ids(const ListRows& rows);

}  // namespace last
