#pragma once

#include <string>

#include "common/labels/list_rows.h"

namespace last {

// Rows of RFC 4180 text with the header `path,NAME,NAME..`, without a byte order mark; `source`
// names it in errors. Every error names its line: broken quotes, a row of another length than the
// header's, an empty path, a column name that stands twice or can't be one.
ListRows read_csv_rows(const std::string& source, const std::string& text);

}  // namespace last
