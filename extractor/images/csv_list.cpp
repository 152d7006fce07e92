#include <string_view>

#include "common/error.h"
#include "extractor/images/list_rows.h"

namespace last {
namespace {

struct Record {
  std::vector<std::string> fields;
  int64_t line = 0;  // of its first character
};

// RFC 4180: fields separated by commas, records by line ends; a quoted field may hold both, and ""
// is a quote in it. LF alone is taken as a line end as well.
class CsvParser {
 public:
  CsvParser(const std::string& source, std::string_view text) : source_(source), text_(text) {}

  // False at the end. Blank lines are skipped.
  bool next(Record* record) {
    while (at_end_of_line()) take_end_of_line();
    if (at_end()) return false;
    record->fields.clear();
    record->line = line_;
    record->fields.push_back(take_field());
    while (!at_end() && text_[at_] == ',') {
      ++at_;
      record->fields.push_back(take_field());
    }
    if (at_end_of_line()) take_end_of_line();
    return true;
  }

 private:
  bool at_end() const { return at_ >= text_.size(); }
  bool at_end_of_line() const {
    return !at_end() && (text_[at_] == '\n' || text_.substr(at_, 2) == "\r\n");
  }
  void take_end_of_line() {
    at_ += text_[at_] == '\r' ? 2 : 1;
    ++line_;
  }

  std::string take_field() {
    if (!at_end() && text_[at_] == '"') return take_quoted();
    std::string field;
    while (!at_end() && text_[at_] != ',' && !at_end_of_line()) {
      if (text_[at_] == '"') {
        fail(source_, ":", line_,
             ": a quote inside an unquoted field; RFC 4180 wants such fields in quotes, and their "
             "quotes doubled");
      }
      field += text_[at_++];
    }
    return field;
  }

  std::string take_quoted() {
    const int64_t first_line = line_;
    std::string field;
    for (++at_;; ++at_) {
      if (at_end()) fail(source_, ":", first_line, ": a quoted field begins here and never ends");
      if (text_[at_] == '"') {
        if (text_.substr(at_ + 1, 1) != "\"") break;
        ++at_;
      }
      if (text_[at_] == '\n') ++line_;
      field += text_[at_];
    }
    ++at_;
    if (!at_end() && text_[at_] != ',' && !at_end_of_line()) {
      fail(source_, ":", line_, ": text after the closing quote of a field");
    }
    return field;
  }

  const std::string& source_;
  std::string_view text_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

void check_header(const std::string& source, const Record& header) {
  const std::vector<std::string>& names = header.fields;
  if (names[0] != "path") {
    fail(source, ":", header.line, ": the header must be path,NAME,NAME.., its first column is \"",
         names[0], "\"");
  }
  for (size_t i = 1; i < names.size(); ++i) {
    if (names[i].empty() || names[i] == "." || names[i].find('/') != std::string::npos) {
      fail(source, ":", header.line, ": column ", i + 1, " can't be called \"", names[i],
           "\" (a label column needs a name without /)");
    }
    for (size_t j = 0; j < i; ++j) {
      if (names[i] == names[j]) {
        fail(source, ":", header.line, ": two columns are called \"", names[i], "\"");
      }
    }
  }
}

}  // namespace

ListRows read_csv_rows(const std::string& source, const std::string& text) {
  CsvParser parser(source, text);
  Record record;
  if (!parser.next(&record)) fail(source, ": the file is empty; a header path,NAME.. is expected");
  check_header(source, record);
  ListRows result{source, {record.fields.begin() + 1, record.fields.end()}, {}};
  const size_t fields = record.fields.size();
  while (parser.next(&record)) {
    if (record.fields.size() != fields) {
      fail(source, ":", record.line, ": ", record.fields.size(), " fields, the header has ",
           fields);
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
