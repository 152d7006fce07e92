#include "common/labels/labels.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <map>
#include <optional>

#include "common/error.h"
#include "common/io/utf8.h"

namespace last {
namespace {

std::optional<int64_t> whole_number(const std::string& text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, code] = std::from_chars(text.data(), end, value);
  if (stop != end || code == std::errc::invalid_argument) return std::nullopt;
  if (code == std::errc::result_out_of_range) {
    return text.front() == '-' ? INT64_MIN : INT64_MAX;
  }
  return value;
}

bool is_number(const std::string& text) {
  char* stop = nullptr;
  const double value = std::strtod(text.c_str(), &stop);
  const bool digits = text.find_first_of("0123456789") != std::string::npos;
  return digits && *stop == '\0' && std::isfinite(value) && text.find('x') == std::string::npos;
}

std::string place(const ListRows& rows, const ListRow& row) {
  return row.line > 0 ? concat(rows.source, ":", row.line) : concat(rows.source, ": ", row.id);
}

LabelColumn read_indices(const ListRows& rows, size_t column) {
  LabelColumn result{rows.columns[column], {}, {}};
  for (const ListRow& row : rows.rows) {
    const std::string& cell = row.cells[column];
    const int64_t index = cell.empty() ? kUnlabelled : *whole_number(cell);
    if (!cell.empty() && index < 0) {
      fail(place(rows, row), ": column ", result.name, " holds class indices, and ", cell,
           " is negative; leave the label out where there is none");
    }
    if (index > kMaxClassIndex) {
      fail(place(rows, row), ": column ", result.name, " holds class indices, and ", cell,
           " is above ", kMaxClassIndex);
    }
    result.labels.push_back(static_cast<int32_t>(index));
  }
  return result;
}

// Names of classes are stored as texts of HDF5 and JSON.
void check_name(const ListRows& rows, const ListRow& row, const std::string& name) {
  if (name.find('\0') != std::string::npos) {
    fail(place(rows, row), ": a zero byte in a class name; is this a text file?");
  }
  if (!is_utf8(name)) {
    fail(place(rows, row), ": a class name that is not UTF-8; save the list in that encoding");
  }
}

LabelColumn read_names(const ListRows& rows, size_t column) {
  std::map<std::string, int32_t> index_of;  // std::string compares bytes
  for (const ListRow& row : rows.rows) {
    const std::string& cell = row.cells[column];
    if (!cell.empty() && index_of.emplace(cell, 0).second) check_name(rows, row, cell);
  }
  LabelColumn result{rows.columns[column], {}, {}};
  for (auto& [name, index] : index_of) {
    index = static_cast<int32_t>(result.classes.size());
    result.classes.push_back(name);
  }
  for (const ListRow& row : rows.rows) {
    const std::string& cell = row.cells[column];
    result.labels.push_back(cell.empty() ? kUnlabelled : index_of[cell]);
  }
  return result;
}

}  // namespace

LabelColumn understand_labels(const ListRows& rows, size_t column, bool force_names) {
  if (force_names) return read_names(rows, column);
  bool all_whole = true;
  bool all_numbers = true;
  const ListRow* fraction = nullptr;
  for (const ListRow& row : rows.rows) {
    const std::string& cell = row.cells[column];
    if (cell.empty() || whole_number(cell)) continue;
    all_whole = false;
    all_numbers = all_numbers && is_number(cell);
    if (fraction == nullptr) fraction = &row;
  }
  if (all_whole) return read_indices(rows, column);
  if (all_numbers) {
    fail(place(rows, *fraction), ": column ", rows.columns[column], " holds fractions (",
         fraction->cells[column],
         "): regression isn't supported, labels are class indices or class names");
  }
  return read_names(rows, column);
}

}  // namespace last
