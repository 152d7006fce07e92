#include "trainer/report/table_file.h"

#include <charconv>
#include <cmath>
#include <limits>

#include "common/error.h"
#include "common/io/csv.h"
#include "common/io/file.h"

namespace last {
namespace {

template <class Number>
bool parse_whole(const std::string& text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

const std::string& TableRow::text(const std::string& column) const {
  const auto found = columns_.find(column);
  if (found == columns_.end()) fail(path_, ": the header has no column \"", column, "\"");
  return fields_[found->second];
}

void TableRow::refuse(const std::string& column, const std::string& expected) const {
  fail(path_, ":", line_, ": column ", column, ": \"", text(column), "\" found, ", expected,
       " expected");
}

int64_t TableRow::integer(const std::string& column) const {
  int64_t value = 0;
  if (!parse_whole(text(column), value)) refuse(column, "an integer");
  return value;
}

double TableRow::number(const std::string& column) const {
  double value = 0;
  if (!parse_whole(text(column), value) || !std::isfinite(value)) refuse(column, "a number");
  return value;
}

double TableRow::number_or_nan(const std::string& column) const {
  return text(column).empty() ? std::numeric_limits<double>::quiet_NaN() : number(column);
}

void for_each_row(const std::string& path, const std::function<void(const TableRow&)>& visit) {
  const std::string content = read_text_file(path);
  CsvParser parser(path, content);
  CsvRecord record;
  if (!parser.next(record)) fail(path, ": the file is empty");
  std::map<std::string, size_t> columns;
  const size_t fields = record.fields.size();
  for (size_t i = 0; i < fields; ++i) columns[record.fields[i]] = i;
  while (parser.next(record)) {
    if (record.fields.size() != fields) {
      fail(path, ":", record.line, ": ", record.fields.size(),
           record.fields.size() == 1 ? " field" : " fields", ", the header has ", fields);
    }
    visit(TableRow(path, record.line, columns, record.fields));
  }
}

}  // namespace last
