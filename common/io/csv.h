#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace last {

// A field of a CSV file (RFC 4180): in quotes where it has to be.
std::string csv_field(const std::string& text);

struct CsvRecord {
  std::vector<std::string> fields;
  int64_t line = 0;  // of its first character, from 1
};

// RFC 4180: fields separated by commas, records by line ends; a quoted field may hold both, and ""
// is a quote in it. LF alone is taken as a line end as well. Errors begin with SOURCE:LINE.
class CsvParser {
 public:
  // Both must outlive the parser. `text` is without a byte order mark.
  CsvParser(const std::string& source, std::string_view text) : source_(source), text_(text) {}

  // False at the end. Blank lines are skipped.
  bool next(CsvRecord& record);

 private:
  bool at_end() const { return at_ >= text_.size(); }
  bool at_end_of_line() const;
  void take_end_of_line();
  std::string take_field();
  std::string take_quoted();

  const std::string& source_;
  std::string_view text_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

}  // namespace last
