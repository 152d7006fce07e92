#include <cctype>
#include <filesystem>
#include <string_view>

#include "extractor/images/list_rows.h"

namespace last {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

std::string_view trim_right(std::string_view line) {
  while (!line.empty() && is_blank(line.back())) line.remove_suffix(1);
  return line;
}

bool is_whole_number(std::string_view text) {
  if (!text.empty() && text.front() == '-') text.remove_prefix(1);
  if (text.empty()) return false;
  for (const char c : text) {
    if (std::isdigit(static_cast<unsigned char>(c)) == 0) return false;
  }
  return true;
}

// An unlabelled path may hold spaces itself: then the whole line names a file. A number at the end
// is a label without asking the file system, which keeps long lists on network disks fast.
bool is_unlabelled(std::string_view line, std::string_view label, const std::string& folder) {
  std::error_code code;
  return !is_whole_number(label) &&
         std::filesystem::is_regular_file(resolve_path(folder, std::string(line)), code);
}

ListRow parse_line(std::string_view line, const std::string& folder, int64_t number) {
  const size_t space = line.rfind(' ');
  if (space != std::string_view::npos) {
    const std::string_view label = line.substr(space + 1);
    if (!is_unlabelled(line, label, folder)) {
      return {std::string(trim_right(line.substr(0, space))), {std::string(label)}, number};
    }
  }
  return {std::string(line), {std::string()}, number};
}

}  // namespace

ListRows read_plain_rows(const std::string& source, const std::string& text,
                         const std::string& folder) {
  ListRows result{source, {"label"}, {}};
  const std::string_view all = text;
  int64_t number = 0;
  for (size_t at = 0; at < all.size();) {
    const size_t end = std::min(all.find('\n', at), all.size());
    const std::string_view line = trim_right(all.substr(at, end - at));
    ++number;
    at = end + 1;
    if (line.empty() || line.front() == '#') continue;
    result.rows.push_back(parse_line(line, folder, number));
  }
  return result;
}

}  // namespace last
