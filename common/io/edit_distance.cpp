#include "common/io/edit_distance.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace last {

size_t edit_distance(const std::string& a, const std::string& b) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    before.swap(last);
    last.swap(row);
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replacing = a[i] == b[j] ? 0 : is_digit(a[i]) && is_digit(b[j]) ? 2 : 1;
      row[j + 1] = std::min({row[j] + 1, last[j + 1] + 1, last[j] + replacing});
      if (i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j]) {
        row[j + 1] = std::min(row[j + 1], before[j - 1] + 1);
      }
    }
  }
  return row.back();
}

}  // namespace last
