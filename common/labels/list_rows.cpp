#include "common/labels/list_rows.h"

#include <string_view>
#include <unordered_map>

#include "common/error.h"

namespace last {

void strip_byte_order_mark(std::string& text) {
  if (text.rfind("\xef\xbb\xbf", 0) == 0) text.erase(0, 3);
}

void check_ids(const ListRows& rows) {
  std::unordered_map<std::string_view, int64_t> line_of;
  for (const ListRow& row : rows.rows) {
    if (row.id.find('\0') != std::string::npos) {
      fail(rows.source, ":", row.line, ": a zero byte; is this a text file?");
    }
    const auto [first, is_new] = line_of.emplace(row.id, row.line);
    if (!is_new) {
      fail(rows.source, ":", row.line, ": \"", row.id, "\" is in the list twice, first in line ",
           first->second);
    }
  }
}

}  // namespace last
