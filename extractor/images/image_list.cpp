#include "extractor/images/image_list.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "common/error.h"
#include "common/io/checksum.h"
#include "common/io/file.h"
#include "common/labels/csv_list.h"
#include "common/labels/labels.h"
#include "extractor/images/list_rows.h"

namespace last {
namespace {

namespace fs = std::filesystem;

std::string digest_of_rows(const ListRows& rows) {
  Sha256 digest;
  for (const ListRow& row : rows.rows) {
    // Ids hold no zero byte, so rows can't run into each other.
    digest.update(row.id.c_str(), row.id.size() + 1);
    digest.update(row.cells[0].c_str(), row.cells[0].size() + 1);
  }
  return to_hex(digest.finish());
}

}  // namespace

std::string lower_extension(const std::string& path) {
  std::string extension = fs::path(path).extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension;
}

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
    strip_byte_order_mark(text);
    folder = fs::path(list_or_folder).parent_path().string();
    rows = lower_extension(list_or_folder) == ".csv"
               ? read_csv_rows(list_or_folder, text)
               : read_plain_rows(list_or_folder, text, folder);
  }
  if (rows.rows.empty()) fail(rows.source, ": no images in it");
  check_ids(rows);
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
