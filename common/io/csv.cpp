#include "common/io/csv.h"

#include "common/error.h"

namespace last {

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string field = "\"";
  for (const char c : text) {
    if (c == '"') field += '"';
    field += c;
  }
  return field + '"';
}

bool CsvParser::next(CsvRecord& record) {
  while (at_end_of_line()) take_end_of_line();
  if (at_end()) return false;
  record.fields.clear();
  record.line = line_;
  record.fields.push_back(take_field());
  while (!at_end() && text_[at_] == ',') {
    ++at_;
    record.fields.push_back(take_field());
  }
  if (at_end_of_line()) take_end_of_line();
  return true;
}

bool CsvParser::at_end_of_line() const {
  return !at_end() && (text_[at_] == '\n' || text_.substr(at_, 2) == "\r\n");
}

void CsvParser::take_end_of_line() {
  at_ += text_[at_] == '\r' ? 2 : 1;
  ++line_;
}

std::string CsvParser::take_field() {
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

std::string CsvParser::take_quoted() {
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

}  // namespace last
