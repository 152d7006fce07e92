#include <algorithm>
#include <filesystem>
#include <set>

#include "common/error.h"
#include "extractor/images/list_rows.h"

namespace last {
namespace {

namespace fs = std::filesystem;

// The same as torchvision's ImageFolder.
bool has_image_extension(const fs::path& path) {
  static const std::set<std::string> kExtensions = {".jpg", ".jpeg", ".png",  ".ppm", ".bmp",
                                                    ".pgm", ".tif",  ".tiff", ".webp"};
  return kExtensions.count(lower_extension(path.string())) > 0;
}

// A link to a folder above itself would be followed for ever, and several of them ever more often.
void check_link(const fs::directory_entry& entry) {
  std::error_code code;
  if (!entry.is_symlink(code) || !entry.is_directory(code)) return;
  const fs::path target = fs::canonical(entry.path());
  const fs::path inside = fs::canonical(entry.path().parent_path());
  if (std::mismatch(target.begin(), target.end(), inside.begin(), inside.end()).first ==
      target.end()) {
    fail("\"", entry.path().string(), "\" leads back to \"", target.string(),
         "\", which it is in; remove the link");
  }
}

}  // namespace

ListRows read_folder_rows(const std::string& folder) {
  ListRows result{folder, {"label"}, {}};
  try {
    const auto options = fs::directory_options::follow_directory_symlink;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder, options)) {
      check_link(entry);
      std::error_code code;  // of a link that leads nowhere, which is listed: a bad image
      if (entry.is_directory(code) || !has_image_extension(entry.path())) continue;
      const std::string id = entry.path().lexically_relative(folder).generic_string();
      const size_t slash = id.find('/');
      result.rows.push_back({id, {slash == std::string::npos ? "" : id.substr(0, slash)}, 0});
    }
  } catch (const fs::filesystem_error& error) {
    fail("can't read the folder ", folder, ": ", error.what());
  }
  std::sort(result.rows.begin(), result.rows.end(),
            [](const ListRow& a, const ListRow& b) { return a.id < b.id; });
  return result;
}

}  // namespace last
