#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace last {

// One row of a CSV file with a header, its cells found by the names of their columns. Errors name
// file, line, column, what was expected and what was found.
class TableRow {
 public:
  TableRow(const std::string& path, int64_t line, const std::map<std::string, size_t>& columns,
           const std::vector<std::string>& fields)
      : path_(path), line_(line), columns_(columns), fields_(fields) {}

  const std::string& text(const std::string& column) const;
  int64_t integer(const std::string& column) const;
  // A finite number.
  double number(const std::string& column) const;
  // NaN where the cell is empty.
  double number_or_nan(const std::string& column) const;
  [[noreturn]] void refuse(const std::string& column, const std::string& expected) const;

 private:
  const std::string& path_;
  int64_t line_;
  const std::map<std::string, size_t>& columns_;
  const std::vector<std::string>& fields_;
};

// Calls `visit` with every row of a CSV file below its header. A row with more or fewer fields than
// the header is an Error.
void for_each_row(const std::string& path, const std::function<void(const TableRow&)>& visit);

}  // namespace last
