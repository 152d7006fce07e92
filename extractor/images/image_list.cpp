#include "extractor/images/image_list.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <unordered_map>

#include "common/error.h"
#include "common/io/checksum.h"
#include "common/io/file.h"
#include "extractor/images/labels.h"
#include "extractor/images/list_rows.h"

namespace last {
namespace {

namespace fs = std::filesystem;

bool is_csv(const std::string& path) {
  std::string extension = fs::path(path).extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension == ".csv";
}

std::string digest_of_rows(const ListRows& rows) {
  Sha256 digest;
  for (const ListRow& row : rows.rows) {
    // Ids hold no zero byte, so rows can't run into each other.
    digest.update(row.id.c_str(), row.id.size() + 1);
    digest.update(row.cells[0].c_str(), row.cells[0].size() + 1);
  }
  return to_hex(digest.finish());
}

void check_rows(const ListRows& rows) {
  if (rows.rows.empty()) fail(rows.source, ": no images in it");
  std::unordered_map<std::string, int64_t> line_of;
  for (const ListRow& row : rows.rows) {
    if (row.id.find('\0') != std::string::npos) {
      fail(rows.source, ":", row.line, ": a zero byte; is this a text file?");
    }
    const auto [first, is_new] = line_of.emplace(row.id, row.line);
    if (!is_new) {
      fail(rows.source, ":", row.line, ": \"", row.id, "\" is in the list twice, first in line ",
           first->second);
    }
  }
}

}  // namespace

std::string resolve_path(const std::string& folder, const std::string& id) {
  return (fs::path(folder) / id).string();
}

ImageList read_image_list(const std::string& list_or_folder) {
  std::error_code code;
  const bool is_folder = fs::is_directory(list_or_folder, code);
  if (!is_folder && !fs::exists(list_or_folder, code)) {
    fail("--images ", list_or_folder, ": no such list or folder");
  }
  ImageList list;
  ListRows rows;
  std::string folder = list_or_folder;
  if (is_folder) {
    rows = read_folder_rows(list_or_folder);
    list.sha256 = digest_of_rows(rows);
  } else {
    std::string text = read_text_file(list_or_folder);
    list.sha256 = to_hex(sha256(text.data(), text.size()));
    if (text.rfind("\xef\xbb\xbf", 0) == 0) text.erase(0, 3);
    folder = fs::path(list_or_folder).parent_path().string();
    rows = is_csv(list_or_folder) ? read_csv_rows(list_or_folder, text)
                                  : read_plain_rows(list_or_folder, text, folder);
  }
  check_rows(rows);
  for (size_t column = 0; column < rows.columns.size(); ++column) {
    list.labels.push_back(understand_labels(rows, column, is_folder));
  }
  for (ListRow& row : rows.rows) {
    list.paths.push_back(resolve_path(folder, row.id));
    list.ids.push_back(std::move(row.id));
  }
  return list;
}

}  // namespace last
