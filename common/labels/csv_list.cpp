#include "common/labels/csv_list.h"

#include <iterator>
#include <set>
#include <string_view>

#include "common/error.h"
#include "common/io/csv.h"
#include "common/io/utf8.h"

namespace last {
namespace {

constexpr size_t kLongestName = 100;  // bytes

void check_header(const std::string& source, const CsvRecord& header) {
  const std::vector<std::string>& names = header.fields;
  if (names.size() == 1 && names[0].find_first_of(";\t") != std::string::npos) {
    fail(source, ":", header.line, ": the columns of \"", names[0],
         "\" are separated by semicolons or tabs; commas are expected");
  }
  if (names[0] != "path") {
    fail(source, ":", header.line, ": the header must be path,NAME,NAME.., its first column is \"",
         names[0], "\"");
  }
  std::set<std::string_view> earlier = {names[0]};
  for (size_t i = 1; i < names.size(); ++i) {
    if (names[i].empty() || names[i] == "." || names[i].find('/') != std::string::npos) {
      fail(source, ":", header.line, ": column ", i + 1, " can't be called \"", names[i],
           "\" (a label column needs a name without /)");
    }
    if (names[i].size() > kLongestName) {
      fail(source, ":", header.line, ": the name of column ", i + 1, " has ", names[i].size(),
           " bytes; files are named after it, so at most ", kLongestName, " are possible");
    }
    if (names[i].find('\0') != std::string::npos || !is_utf8(names[i])) {
      fail(source, ":", header.line, ": the name of column ", i + 1,
           " is not UTF-8; save the file in that encoding");
    }
    if (!earlier.insert(names[i]).second) {
      fail(source, ":", header.line, ": two columns are called \"", names[i], "\"");
    }
  }
}

}  // namespace

ListRows read_csv_rows(const std::string& source, const std::string& text) {
  CsvParser parser(source, text);
  CsvRecord record;
  if (!parser.next(record)) fail(source, ": the file is empty; a header path,NAME.. is expected");
  check_header(source, record);
  ListRows result{source, {record.fields.begin() + 1, record.fields.end()}, {}};
  const size_t fields = record.fields.size();
  while (parser.next(record)) {
    if (record.fields.size() != fields) {
      fail(source, ":", record.line, ": ", record.fields.size(),
           record.fields.size() == 1 ? " field" : " fields", ", the header has ", fields);
    }
    if (record.fields[0].empty()) fail(source, ":", record.line, ": the path is empty");
    result.rows.push_back({std::move(record.fields[0]),
                           {std::make_move_iterator(record.fields.begin() + 1),
                            std::make_move_iterator(record.fields.end())},
                           record.line});
  }
  return result;
}

}  // namespace last
